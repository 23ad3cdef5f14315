// One ISA's kernels: what the other sources that are compiled for it hold, and those that make
// activations. Compiled once an ISA, with QK_ISA naming it and its namespace, QK_ISA_HEADER its
// idioms, QK_LIKE the ISA whose kernels for floats it has, itself or another, and the compiler flags
// that it needs.
//
// Everything in these objects but the tables has internal linkage: no function compiled for a wide
// ISA can replace a baseline one at link time.
#include "kernels/table.h"

#include "formats/all.h"
#include "kernels/activate.h"
#include "kernels/family_kernels.h"
#include QK_ISA_HEADER

namespace qk::QK_LIKE {

extern const FamilyKernels<FloatFormats> float_kernels;  // of kernels/table_*.cpp
extern const FamilyKernels<SmallFormats> small_kernels;
extern const FamilyKernels<KFormats> k_kernels;
extern const FamilyKernels<GridFormats> grid_kernels;
extern const FamilyKernels<CodeFormats> code_kernels;
extern const DenseKernels dense_kernels;        // of kernels/dense_table.cpp
extern const QuantizeKernels quantize_kernels;  // of quantize/quantize_table.cpp

}  // namespace qk::QK_LIKE

namespace qk::QK_ISA {

static_assert(Idioms<Isa>, "the ISA lacks an idiom of isa/idioms.h");

// Declared first, so that constants are visible to others.
extern const KernelTable kernel_table;
extern const FormatTable format_kernels;
extern const ActivationKernels activation_kernels;
// The same ones again where the ISA is like no other.
// NOLINTBEGIN(readability-redundant-declaration)
extern const FamilyKernels<SmallFormats> small_kernels;  // of kernels/table_*.cpp
extern const FamilyKernels<KFormats> k_kernels;
extern const FamilyKernels<GridFormats> grid_kernels;
extern const FamilyKernels<CodeFormats> code_kernels;
// NOLINTEND(readability-redundant-declaration)
extern const StreamKernels stream_kernels;  // of stream/stream_table.cpp

namespace {

// Where the kernels of each format are.
template <class... Lists>
constexpr void collect(const FormatKernels* (&table)[kMostFormats],
                       const FamilyKernels<Lists>&... families) {
  static_assert(__is_same(Concatenated<Lists...>, AllFormats));
  int format = 0;
  const auto add = [&](const auto& formats) {
    for (const FormatKernels& kernels : formats) table[format++] = &kernels;
  };
  (add(families.formats), ...);
}

constexpr FormatTable make_format_table() {
  FormatTable table{};
  collect(table.integers, QK_LIKE::float_kernels, small_kernels, k_kernels, grid_kernels,
          code_kernels);
  collect(table.floats, QK_LIKE::float_kernels, QK_LIKE::small_kernels, QK_LIKE::k_kernels,
          QK_LIKE::grid_kernels, QK_LIKE::code_kernels);
  return table;
}

template <Idioms I>
constexpr ActivationKernels make_activation_kernels() {
  ActivationKernels kernels{};
  kernels.magnitude = &magnitude<I>;
  kernels.activate[static_cast<int>(Act::kInt16)] = &activate_integer<I, Act::kInt16>;
  kernels.activate[static_cast<int>(Act::kFloat32)] = &activate_float<I>;
  kernels.activate[static_cast<int>(Act::kInt8)] = &activate_integer<I, Act::kInt8>;
  return kernels;
}

}  // namespace

constinit const FormatTable format_kernels = make_format_table();

constinit const ActivationKernels activation_kernels = make_activation_kernels<Isa>();

constinit const KernelTable kernel_table = {
    .isa = Isa::kName,
    .needs = Isa::kNeeds,
    .for_tests = Isa::kForTests,
    .formats = &format_kernels,
    .activations = &activation_kernels,
    .dense = &QK_LIKE::dense_kernels,
    .streams = &stream_kernels,
    .quantizers = &QK_LIKE::quantize_kernels,
    .tiles = {},
};

}  // namespace qk::QK_ISA
