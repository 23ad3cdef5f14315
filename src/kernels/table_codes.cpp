// One ISA's kernels for formats/all_codes.h. Compiled once an ISA, as table.cpp is.
#include "formats/all_codes.h"
#include "kernels/family.h"
#include QK_ISA_HEADER

namespace qk::QK_ISA {

extern const FamilyKernels<CodeFormats> code_kernels;
constinit const FamilyKernels<CodeFormats> code_kernels = kernels_of_family<Isa>(CodeFormats{});

}  // namespace qk::QK_ISA
