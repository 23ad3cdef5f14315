// One ISA's kernels for formats/all_floats.h. Compiled once an ISA, as table.cpp is.
#include "formats/all_floats.h"
#include "kernels/family.h"
#include QK_ISA_HEADER

namespace qk::QK_ISA {

extern const FamilyKernels<FloatFormats> float_kernels;
constinit const FamilyKernels<FloatFormats> float_kernels = kernels_of_family<Isa>(FloatFormats{});

}  // namespace qk::QK_ISA
