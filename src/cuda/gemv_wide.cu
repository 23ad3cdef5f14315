#include "cuda/describe.h"
#include "cuda/slices_wide.h"

namespace qk::cuda {

template <>
FormatKernels kernels_of<Q8_K>() {
  return describe<Q8_K>();
}
template <>
FormatKernels kernels_of<Q8_KS>() {
  return describe<Q8_KS>();
}
template <>
FormatKernels kernels_of<IQ4_XS>() {
  return describe<IQ4_XS>();
}
template <>
FormatKernels kernels_of<TQ2_0>() {
  return describe<TQ2_0>();
}

}  // namespace qk::cuda
