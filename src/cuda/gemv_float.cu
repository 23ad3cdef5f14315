#include "cuda/float_gemv.h"
#include "cuda/kernels.h"
#include "formats/bf16.h"
#include "formats/f16.h"
#include "formats/f32.h"

namespace qk::cuda {
namespace {

// Float weights are multiplied with float32 activations whatever was asked for.
template <class F>
FormatKernels describe_float() {
  FormatKernels kernels{};
  kernels.weights_per_step = kWarp * kNeighbours;
  auto& gemv = kernels.gemv[static_cast<int>(Layout::kNative)][static_cast<int>(Act::kFloat32)];
  gemv[0] = &float_gemv<F, columns_of_class(0)>;
  gemv[1] = &float_gemv<F, columns_of_class(1)>;
  gemv[2] = &float_gemv<F, columns_of_class(2)>;
  kernels.dequantize[static_cast<int>(Layout::kNative)] = &float_dequantize<F>;
  kernels.weights_per_thread[static_cast<int>(Layout::kNative)] = kNeighbours;
  return kernels;
}

}  // namespace

template <>
FormatKernels kernels_of<F32>() {
  return describe_float<F32>();
}
template <>
FormatKernels kernels_of<F16>() {
  return describe_float<F16>();
}
template <>
FormatKernels kernels_of<BF16>() {
  return describe_float<BF16>();
}

}  // namespace qk::cuda
