// One ISA's kernels for formats/all_k.h. Compiled once an ISA, as table.cpp is.
#include "formats/all_k.h"
#include "kernels/family.h"
#include QK_ISA_HEADER

namespace qk::QK_ISA {

extern const FamilyKernels<KFormats> k_kernels;
constinit const FamilyKernels<KFormats> k_kernels = kernels_of_family<Isa>(KFormats{});

}  // namespace qk::QK_ISA
