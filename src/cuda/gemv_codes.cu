#include "cuda/describe.h"
#include "cuda/slices_codes.h"
#include "formats/all_codes.h"

namespace qk::cuda {

template <>
FamilyKernels<CodeFormats> family_kernels() {
  return describe_all(CodeFormats{});
}

}  // namespace qk::cuda
