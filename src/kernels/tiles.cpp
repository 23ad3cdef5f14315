// The kernels of an ISA that adds tiles to another one, QK_BASE, which has the others. Compiled once
// such an ISA, as table.cpp is for the others.
#include "kernels/tiles.h"

#include "kernels/table.h"
#include QK_ISA_HEADER

namespace qk::QK_BASE {

extern const FormatTable format_kernels;
extern const ActivationKernels activation_kernels;
extern const DenseKernels dense_kernels;
extern const StreamKernels stream_kernels;
extern const QuantizeKernels quantize_kernels;

}  // namespace qk::QK_BASE

namespace qk::QK_ISA {

extern const KernelTable kernel_table;

static_assert(TileIdioms<Isa>, "the ISA lacks an idiom of isa/idioms.h");

namespace {

template <TileIdioms I, int kParts>
constexpr TileKernels make_tiles() {
  return {
      .parts = kParts,
      .unit_bytes = sizeof(IntegerUnit<kParts>),
      .split_row = &split_row<I, kParts>,
      .split_slab = &split_slab<I, kParts>,
      .multiply = &multiply_tiles<I, kParts>,
      .store = &store_strip<I>,
  };
}

constexpr TileKernels kInt16 = make_tiles<Isa, 2>();
constexpr TileKernels kInt8 = make_tiles<Isa, 1>();

constexpr KernelTable make_table() {
  KernelTable table{};
  table.isa = Isa::kName;
  table.needs = Isa::kNeeds;
  table.for_tests = Isa::kForTests;
  table.formats = &QK_BASE::format_kernels;
  table.activations = &QK_BASE::activation_kernels;
  table.dense = &QK_BASE::dense_kernels;
  table.streams = &QK_BASE::stream_kernels;
  table.quantizers = &QK_BASE::quantize_kernels;
  table.tiles[static_cast<int>(Act::kInt16)] = &kInt16;
  table.tiles[static_cast<int>(Act::kInt8)] = &kInt8;
  return table;
}

}  // namespace

constinit const KernelTable kernel_table = make_table();

}  // namespace qk::QK_ISA
