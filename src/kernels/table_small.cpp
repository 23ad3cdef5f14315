// One ISA's kernels for formats/all_small.h. Compiled once an ISA, as table.cpp is.
#include "formats/all_small.h"
#include "kernels/family.h"
#include QK_ISA_HEADER

namespace qk::QK_ISA {

extern const FamilyKernels<SmallFormats> small_kernels;
constinit const FamilyKernels<SmallFormats> small_kernels = kernels_of_family<Isa>(SmallFormats{});

}  // namespace qk::QK_ISA
