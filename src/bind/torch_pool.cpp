#include "bind/torch_pool.h"

#include <atomic>
#include <cstdint>
#include <pthread.h>

#include "core/job.h"
#include "core/os.h"

namespace qk::bind {
namespace {

// Two functions of torch's stable C interface (torch/csrc/stable/c/shim.h, from 2.10 on), which
// return 0, or what failed.
using RangeOfTorch = void (*)(int64_t begin, int64_t end, void* context);
using ParallelFor = int32_t (*)(int64_t begin, int64_t end, int64_t grain, RangeOfTorch body,
                                void* context);
using GetNumThreads = int32_t (*)(uint32_t* threads);

constexpr const char* kLibrary = "libtorch_cpu.so";

struct Functions {
  ParallelFor parallel_for;
  GetNumThreads get_num_threads;
};

std::atomic<bool> forked{false};

// Tensors are there, and so their library is loaded, before anybody asks.
const Functions& functions() {
  static const Functions kFunctions = [] {
    pthread_atfork(nullptr, nullptr, [] { forked.store(true, std::memory_order_relaxed); });
    return Functions{
        reinterpret_cast<ParallelFor>(find_loaded(kLibrary, "torch_parallel_for")),
        reinterpret_cast<GetNumThreads>(find_loaded(kLibrary, "torch_get_num_threads"))};
  }();
  return kFunctions;
}

// Each of torch's threads does some shares. What it did not come to, its caller does.
void run(void*, int threads, int64_t n, int64_t grain, RangeFn fn, void* context) {
  const int shares = shares_of(threads, n, grain);
  if (shares <= 1) {
    fn(context, 0, n);
    return;
  }
  Job job(shares, n, grain, fn, context);
  const RangeOfTorch work = [](int64_t begin, int64_t end, void* of) {
    for (int64_t share = begin; share < end; ++share) {
      static_cast<Job*>(of)->work(static_cast<int>(share));
    }
  };
  static_cast<void>(functions().parallel_for(0, shares, 1, work, &job));
  job.work(0);
}

}  // namespace

int torch_threads() {
  const Functions& torch = functions();
  uint32_t threads = 0;
  if (torch.parallel_for == nullptr || torch.get_num_threads == nullptr ||
      forked.load(std::memory_order_relaxed) || torch.get_num_threads(&threads) != 0) {
    return 0;
  }
  return static_cast<int>(threads < kMaxThreads ? threads : kMaxThreads);
}

Parallel torch_parallel(int threads) { return {run, nullptr, threads}; }

}  // namespace qk::bind
