#include "cuda/describe.h"
#include "cuda/slices_grids.h"
#include "formats/all_grids.h"

namespace qk::cuda {

template <>
FamilyKernels<GridFormats> family_kernels() {
  return describe_all(GridFormats{});
}

}  // namespace qk::cuda
