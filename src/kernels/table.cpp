// One ISA's kernels. Compiled once an ISA, with QK_ISA naming it, QK_ISA_HEADER its idioms,
// QK_KERNEL_TABLE and QK_FORMAT_KERNELS the symbols to define, and the compiler flags that it
// needs.
//
// Everything here but the tables has internal linkage, because each ISA's struct lives in an
// anonymous namespace: no function compiled for a wide ISA can replace a baseline one at link time.
#include "kernels/table.h"

#include "kernels/activate.h"
#include "kernels/decode.h"
#include "kernels/linear.h"
#include "kernels/panels.h"
#include QK_ISA_HEADER

namespace qk {

// Declared first, so that constants are visible to others.
extern const FormatKernels QK_FORMAT_KERNELS;
extern const KernelTable QK_KERNEL_TABLE;
extern const DenseKernels QK_DENSE_TABLE;        // of kernels/dense_table.cpp
extern const StreamKernels QK_STREAM_TABLE;      // of stream/stream_table.cpp
extern const QuantizeKernels QK_QUANTIZE_TABLE;  // of quantize/quantize_table.cpp

namespace {

using QK_ISA::Isa;

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

constinit const FormatKernels QK_FORMAT_KERNELS = make_kernels(AllFormats{});

constinit const KernelTable QK_KERNEL_TABLE = {
    .isa = Isa::kName,
    .needs = Isa::kNeeds,
    .for_tests = Isa::kForTests,
    .formats = &QK_FORMAT_KERNELS,
    .dense = &QK_DENSE_TABLE,
    .streams = &QK_STREAM_TABLE,
    .quantizers = &QK_QUANTIZE_TABLE,
    .tiles = {},
};

}  // namespace qk
