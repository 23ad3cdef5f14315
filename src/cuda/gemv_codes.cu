#include "cuda/describe.h"
#include "cuda/slices_codes.h"

namespace qk::cuda {

template <>
FormatKernels kernels_of<IQ1_S>() {
  return describe<IQ1_S>();
}
template <>
FormatKernels kernels_of<IQ1_M>() {
  return describe<IQ1_M>();
}
template <>
FormatKernels kernels_of<IQ2_XXS>() {
  return describe<IQ2_XXS>();
}
template <>
FormatKernels kernels_of<IQ2_XS>() {
  return describe<IQ2_XS>();
}
template <>
FormatKernels kernels_of<IQ2_S>() {
  return describe<IQ2_S>();
}
template <>
FormatKernels kernels_of<IQ3_XXS>() {
  return describe<IQ3_XXS>();
}
template <>
FormatKernels kernels_of<IQ3_S>() {
  return describe<IQ3_S>();
}
template <>
FormatKernels kernels_of<TQ1_0>() {
  return describe<TQ1_0>();
}
template <>
FormatKernels kernels_of<NVFP4>() {
  return describe<NVFP4>();
}

}  // namespace qk::cuda
