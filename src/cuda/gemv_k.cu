#include "cuda/describe.h"
#include "cuda/slices_k.h"

namespace qk::cuda {

template <>
FormatKernels kernels_of<Q2_K>() {
  return describe<Q2_K>();
}
template <>
FormatKernels kernels_of<Q3_K>() {
  return describe<Q3_K>();
}
template <>
FormatKernels kernels_of<Q4_K>() {
  return describe<Q4_K>();
}
template <>
FormatKernels kernels_of<Q5_K>() {
  return describe<Q5_K>();
}
template <>
FormatKernels kernels_of<Q6_K>() {
  return describe<Q6_K>();
}

}  // namespace qk::cuda
