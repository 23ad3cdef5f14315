#include "cuda/describe.h"
#include "cuda/slices_small.h"
#include "formats/all_small.h"

namespace qk::cuda {

template <>
FamilyKernels<SmallFormats> family_kernels() {
  return describe_all(SmallFormats{});
}

}  // namespace qk::cuda
