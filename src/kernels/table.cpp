// One ISA's kernels. Compiled once an ISA, with QK_ISA naming it and its namespace, QK_ISA_HEADER
// its idioms, and the compiler flags that it needs.
//
// Everything here but the tables has internal linkage: no function compiled for a wide ISA can
// replace a baseline one at link time.
#include "kernels/table.h"

#include "kernels/activate.h"
#include "kernels/decode.h"
#include "kernels/linear.h"
#include "kernels/panels.h"
#include QK_ISA_HEADER

namespace qk::QK_ISA {

// Declared first, so that constants are visible to others.
extern const FormatKernels format_kernels;
extern const KernelTable kernel_table;
extern const DenseKernels dense_kernels;        // of kernels/dense_table.cpp
extern const StreamKernels stream_kernels;      // of stream/stream_table.cpp
extern const QuantizeKernels quantize_kernels;  // of quantize/quantize_table.cpp

namespace {

template <class Product>
constexpr void fill_layout(LinearKernel (&entry)[kMClasses], int panel_rows) {
  entry[static_cast<int>(MClass::kVector)] = {&product_vector<Product>, panel_rows};
  entry[static_cast<int>(MClass::kMatrix)] = {&product_matrix<Product>, panel_rows};
}

template <class F, Act A>
constexpr void fill_linear(FormatKernels& kernels, int format) {
  // Float weights always meet float32 activations, whatever `act` says.
  constexpr Act kAct = F::kFloat ? Act::kFloat32 : A;
  constexpr int kEntry = static_cast<int>(A);
  auto& native = kernels.linear[static_cast<int>(Layout::kNative)][format][kEntry];
  fill_layout<RowProduct<F, Isa, kAct>>(native, 1);
  auto& packed = kernels.linear[static_cast<int>(Layout::kPanels)][format][kEntry];
  fill_layout<PanelProduct<F, Isa, kAct>>(packed, Isa::kLanes);
}

template <class F>
constexpr void fill_format(FormatKernels& kernels, int format) {
  fill_linear<F, Act::kInt16>(kernels, format);
  fill_linear<F, Act::kFloat32>(kernels, format);
  fill_linear<F, Act::kInt8>(kernels, format);
  kernels.decode[format] = &decode_row<F, Isa>;
}

template <class... Fs>
constexpr FormatKernels make_kernels(FormatList<Fs...>) {
  FormatKernels kernels{};
  int format = 0;
  (fill_format<Fs>(kernels, format++), ...);
  kernels.magnitude = &magnitude<Isa>;
  kernels.activate[static_cast<int>(Act::kInt16)] = &activate_integer<Isa, Act::kInt16>;
  kernels.activate[static_cast<int>(Act::kFloat32)] = &activate_float<Isa>;
  kernels.activate[static_cast<int>(Act::kInt8)] = &activate_integer<Isa, Act::kInt8>;
  return kernels;
}

}  // namespace

constinit const FormatKernels format_kernels = make_kernels(AllFormats{});

constinit const KernelTable kernel_table = {
    .isa = Isa::kName,
    .needs = Isa::kNeeds,
    .for_tests = Isa::kForTests,
    .formats = &format_kernels,
    .dense = &dense_kernels,
    .streams = &stream_kernels,
    .quantizers = &quantize_kernels,
    .tiles = {},
};

}  // namespace qk::QK_ISA
