// What calls ask of CUDA: launches on the caller's stream, and nothing else.
#include <cstring>
#include <cuda_runtime.h>
#include <string>

#include "device.h"
#include "emulator.h"

namespace qk {
namespace {

using namespace qk::test;

QK_TEST(a_product_is_one_launch_and_with_quantising_two_on_the_stream_of_the_caller) {
  Sound sound;
  auto* const stream = reinterpret_cast<cudaStream_t>(0x1234);
  sound.product.call.stream = stream;
  cuda_emu::take_log();
  QK_CHECK_EQ(qk_cuda_quantize_and_multiply(&sound.product.x_view, &sound.product.call, nullptr),
              QK_CUDA_OK);
  std::vector<std::string> log = cuda_emu::take_log();
  QK_REQUIRE(log.size() == 2);
  QK_CHECK_EQ(log[0], "launch stream=0x1234 dependent=0");
  QK_CHECK_EQ(log[1], "launch stream=0x1234 dependent=1");

  QK_CHECK_EQ(qk_cuda_multiply(&sound.product.call, nullptr), QK_CUDA_OK);
  log = cuda_emu::take_log();
  QK_REQUIRE(log.size() == 1);
  QK_CHECK_EQ(log[0], "launch stream=0x1234 dependent=0");

  cuda_emu::set_devices(1, 8, 9);
  QK_CHECK_EQ(qk_cuda_quantize_and_multiply(&sound.product.x_view, &sound.product.call, nullptr),
              QK_CUDA_OK);
  log = cuda_emu::take_log();
  QK_REQUIRE(log.size() == 2);
  QK_CHECK_EQ(log[1], "launch stream=0x1234 dependent=0");
  cuda_emu::set_devices(1, 9, 0);
}

QK_TEST(calls_that_are_refused_ask_nothing_of_the_device) {
  const Sound sound;
  const auto refuses = [](const qk_cuda_product& call) {
    cuda_emu::take_log();
    QK_CHECK(qk_cuda_multiply(&call, nullptr) != QK_CUDA_OK);
    QK_CHECK(cuda_emu::take_log().empty());
  };
  qk_cuda_product call = sound.product.call;
  call.weights.row_stride = 144;
  refuses(call);
  call = sound.product.call;
  call.activations = nullptr;
  refuses(call);
  call = sound.product.call;
  call.y.data = &call;
  refuses(call);
  call = sound.product.call;
  call.device = 1;
  refuses(call);
}

QK_TEST(decoding_and_functions_are_one_launch_on_the_stream_of_the_caller) {
  const Sound sound;
  auto* const stream = reinterpret_cast<cudaStream_t>(0x1234);
  const qk_cuda_weights weights = sound.weights.view();
  const DeviceBytes out(weights.n * weights.k * 4);
  const qk_cuda_matrix matrix{out.data(), weights.n, weights.k, weights.k, QK_CUDA_F32};
  cuda_emu::take_log();
  QK_CHECK_EQ(qk_cuda_dequantize(0, &weights, &matrix, stream, nullptr), QK_CUDA_OK);
  QK_CHECK_EQ(qk_cuda_apply(0, &matrix, nullptr, 0, QK_CUDA_GELU, stream, nullptr), QK_CUDA_OK);
  QK_CHECK_EQ(qk_cuda_quantize(0, &sound.product.x_view, QK_CUDA_INT8,
                               sound.product.activations.data(), stream, nullptr),
              QK_CUDA_OK);
  const std::vector<std::string> log = cuda_emu::take_log();
  QK_CHECK_EQ(log.size(), 3U);
  for (const std::string& line : log) QK_CHECK_EQ(line, "launch stream=0x1234 dependent=0");
}

QK_TEST(availability_says_what_is_missing) {
  qk_cuda_error error{};
  QK_CHECK_EQ(qk_cuda_available(&error), QK_CUDA_OK);
  QK_CHECK_EQ(std::string(error.message), "");

  cuda_emu::set_driver_missing(true);
  QK_CHECK_EQ(qk_cuda_available(&error), QK_CUDA_RUNTIME);
  QK_CHECK_EQ(std::string(error.message), "there is no CUDA driver on this machine");
  cuda_emu::set_driver_missing(false);

  cuda_emu::set_devices(0, 9, 0);
  QK_CHECK_EQ(qk_cuda_available(&error), QK_CUDA_RUNTIME);
  QK_CHECK(std::strstr(error.message, "cudaErrorNoDevice") != nullptr);
  QK_CHECK_EQ(cudaGetLastError(), cudaSuccess);

  cuda_emu::set_devices(1, 7, 0);
  QK_CHECK_EQ(qk_cuda_available(&error), QK_CUDA_RUNTIME);
  QK_CHECK_EQ(std::string(error.message),
              "emulated device has compute capability 7.0, kernels need 7.5");
  cuda_emu::set_devices(1, 9, 0);
}

}  // namespace
}  // namespace qk
