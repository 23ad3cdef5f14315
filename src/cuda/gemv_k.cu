#include "cuda/describe.h"
#include "cuda/slices_k.h"
#include "formats/all_k.h"

namespace qk::cuda {

template <>
FamilyKernels<KFormats> family_kernels() {
  return describe_all(KFormats{});
}

}  // namespace qk::cuda
