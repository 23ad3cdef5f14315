// One ISA's kernels for formats/all_grids.h. Compiled once an ISA, as table.cpp is.
#include "formats/all_grids.h"
#include "kernels/family.h"
#include QK_ISA_HEADER

namespace qk::QK_ISA {

extern const FamilyKernels<GridFormats> grid_kernels;
constinit const FamilyKernels<GridFormats> grid_kernels = kernels_of_family<Isa>(GridFormats{});

}  // namespace qk::QK_ISA
