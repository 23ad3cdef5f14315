#include "cuda/activate.h"
#include "cuda/gelu.h"
#include "cuda/kernels.h"

namespace qk::cuda {

ActivateKernel activate_kernel(Act act) {
  switch (act) {
    case Act::kInt16: return &activate<Act::kInt16>;
    case Act::kFloat32: return &activate<Act::kFloat32>;
    case Act::kInt8: return &activate<Act::kInt8>;
  }
  return nullptr;
}

ElementKernel element_kernel() { return &apply_to_elements; }

}  // namespace qk::cuda
