#include "cuda/float_gemv.h"
#include "formats/all_floats.h"

namespace qk::cuda {
namespace {

template <class... Fs>
FamilyKernels<FormatList<Fs...>> describe_floats(FormatList<Fs...>) {
  return {{describe_float<Fs>()...}};
}

}  // namespace

template <>
FamilyKernels<FloatFormats> family_kernels() {
  return describe_floats(FloatFormats{});
}

}  // namespace qk::cuda
