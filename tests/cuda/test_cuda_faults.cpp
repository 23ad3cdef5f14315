// The emulation finds what it is there to find: faults that are planted here, one of each kind, and
// no fault in the same kernel without them.
#include <cmath>
#include <cstring>
#include <cuda_runtime.h>
#include <fcntl.h>
#include <string>
#include <sys/wait.h>
#include <unistd.h>

#include "cuda/device.h"
#include "device.h"
#include "emulator.h"

namespace qk {
namespace {

using namespace qk::test;
using cuda_emu::last_fault;

enum class Fault : uint8_t { kNone, kNoBarrier, kEarlyReturn, kWrongMask, kOneBarrierMore };

constexpr int kThreads = 128;

// The sum of a block's thread indices, as products sum their rows.
void sum_indices(Fault fault, float* out) {
  __shared__ float partial[kThreads / 32];
  const int thread = static_cast<int>(threadIdx.x);
  if (fault == Fault::kEarlyReturn && thread == 70) return;
  const unsigned mask = fault == Fault::kWrongMask && thread % 32 == 5 ? 0xffu : 0xffffffffu;
  auto sum = static_cast<float>(thread);
  for (int lanes = 16; lanes > 0; lanes /= 2) sum += __shfl_xor_sync(mask, sum, lanes);
  if (thread % 32 == 0) partial[thread / 32] = sum;
  if (fault == Fault::kOneBarrierMore && thread < 32) __syncthreads();
  if (fault != Fault::kNoBarrier) __syncthreads();
  if (thread != 0) return;
  *out = (partial[0] + partial[1]) + (partial[2] + partial[3]);
}

// Whether the kernel fails, or gives another sum, under a schedule.
bool goes_wrong(Fault fault) {
  bool wrong = false;
  for (const auto schedule : cuda_emu::kSchedules) {
    cuda_emu::set_schedule(schedule);
    const DeviceBytes out(4);
    cudaLaunchConfig_t config{};
    config.gridDim = dim3(3);
    config.blockDim = dim3(kThreads);
    const bool launched =
        cudaLaunchKernelEx(&config, &sum_indices, fault, out.as<float>()) == cudaSuccess;
    QK_CHECK_EQ(launched, last_fault().empty());
    wrong = wrong || !launched || *out.as<float>() != 8128.0f;
  }
  cuda_emu::set_schedule(cuda_emu::Schedule::kAscending);
  return wrong;
}

QK_TEST(a_right_kernel_passes) { QK_CHECK(!goes_wrong(Fault::kNone)); }

QK_TEST(a_removed_barrier_is_caught) { QK_CHECK(goes_wrong(Fault::kNoBarrier)); }

QK_TEST(an_early_return_before_a_shuffle_is_caught) {
  QK_CHECK(goes_wrong(Fault::kEarlyReturn));
  QK_CHECK(last_fault().find("has left") != std::string::npos);
}

QK_TEST(a_wrong_mask_is_caught) {
  QK_CHECK(goes_wrong(Fault::kWrongMask));
  QK_CHECK(last_fault().find("0x000000ff") != std::string::npos);
}

QK_TEST(barriers_that_not_all_threads_reach_are_caught) {
  QK_CHECK(goes_wrong(Fault::kOneBarrierMore));
  QK_CHECK(last_fault().find("barriers") != std::string::npos);
}

QK_TEST(a_thread_that_leaves_before_a_barrier_is_caught) {
  cudaLaunchConfig_t config{};
  config.gridDim = dim3(1);
  config.blockDim = dim3(64);
  const auto kernel = +[](int) {
    if (threadIdx.x == 40) return;
    __syncthreads();
  };
  QK_CHECK_EQ(cudaLaunchKernelEx(&config, kernel, 0), cudaErrorLaunchFailure);
  QK_CHECK_EQ(last_fault().substr(0, 34), "thread 40 left before the barrier ");
}

// 128-bit loads of weights from `from` on.
void load_block(const uint8_t* from, uint32_t* out) {
  cuda::load_words<16, 4>(from + 16 * threadIdx.x, out + 4 * threadIdx.x);
}

cudaError_t load_from(const uint8_t* from, uint32_t* out) {
  cudaLaunchConfig_t config{};
  config.gridDim = dim3(1);
  config.blockDim = dim3(4);
  return cudaLaunchKernelEx(&config, &load_block, from, out);
}

QK_TEST(a_misaligned_vector_load_is_caught) {
  const DeviceBytes weights(80);
  const DeviceBytes out(64);
  QK_CHECK_EQ(load_from(weights.data(), out.as<uint32_t>()), cudaSuccess);
  QK_CHECK_EQ(load_from(weights.data() + 2, out.as<uint32_t>()), cudaErrorLaunchFailure);
  QK_CHECK(last_fault().find("not aligned to 16") != std::string::npos);
}

// Whether a process of its own survives body().
template <class Body>
bool survives(Body body) {
  std::fflush(stdout);
  const pid_t child = fork();
  if (child == 0) {
    const int null = open("/dev/null", O_WRONLY);
    if (null < 0 || dup2(null, STDERR_FILENO) < 0) _exit(0);
    body();
    _exit(0);
  }
  int status = 0;
  waitpid(child, &status, 0);
  return WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

QK_TEST(a_load_out_of_bounds_is_caught) {
  const DeviceBytes weights(64);
  const DeviceBytes out(64);
  QK_CHECK(survives([&] { load_from(weights.data(), out.as<uint32_t>()); }));
  QK_CHECK(!survives([&] { load_from(weights.data() + 16, out.as<uint32_t>()); }));
}

QK_TEST(shared_memory_is_poisoned_between_blocks) {
  const DeviceBytes out(8);
  cudaLaunchConfig_t config{};
  config.gridDim = dim3(2);
  config.blockDim = dim3(1);
  const auto kernel = +[](uint32_t* first) {
    __shared__ uint32_t word;
    first[blockIdx.x] = word;
    word = 1;
  };
  QK_CHECK_EQ(cudaLaunchKernelEx(&config, kernel, out.as<uint32_t>()), cudaSuccess);
  QK_CHECK_EQ(out.as<uint32_t>()[0], 0xcdcdcdcdu);
  QK_CHECK_EQ(out.as<uint32_t>()[1], 0xcdcdcdcdu);
}

}  // namespace
}  // namespace qk
