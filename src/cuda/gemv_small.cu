#include "cuda/describe.h"
#include "cuda/slices_small.h"

namespace qk::cuda {

template <>
FormatKernels kernels_of<Q4_0>() {
  return describe<Q4_0>();
}
template <>
FormatKernels kernels_of<Q4_1>() {
  return describe<Q4_1>();
}
template <>
FormatKernels kernels_of<Q5_0>() {
  return describe<Q5_0>();
}
template <>
FormatKernels kernels_of<Q5_1>() {
  return describe<Q5_1>();
}
template <>
FormatKernels kernels_of<Q8_0>() {
  return describe<Q8_0>();
}
template <>
FormatKernels kernels_of<Q8_1>() {
  return describe<Q8_1>();
}
template <>
FormatKernels kernels_of<IQ4_NL>() {
  return describe<IQ4_NL>();
}
template <>
FormatKernels kernels_of<MXFP4>() {
  return describe<MXFP4>();
}

}  // namespace qk::cuda
