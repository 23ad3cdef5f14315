// The kernels of an ISA that adds tiles to another one, whose other kernels are QK_FORMAT_KERNELS,
// QK_DENSE_TABLE, QK_STREAM_TABLE and QK_QUANTIZE_TABLE. Compiled once such an ISA, as table.cpp is
// for the others.
#include "kernels/tiles.h"

#include "kernels/table.h"
#include QK_ISA_HEADER

namespace qk {

// Declared first, so that a constant is visible to the dispatcher.
extern const FormatKernels QK_FORMAT_KERNELS;
extern const DenseKernels QK_DENSE_TABLE;
extern const StreamKernels QK_STREAM_TABLE;
extern const QuantizeKernels QK_QUANTIZE_TABLE;
extern const KernelTable QK_KERNEL_TABLE;

namespace {

using QK_ISA::Isa;

template <int kParts>
constexpr TileKernels make_tiles() {
  return {
      .parts = kParts,
      .unit_bytes = sizeof(IntegerUnit<kParts>),
      .split_row = &split_row<Isa, kParts>,
      .split_slab = &split_slab<Isa, kParts>,
      .multiply = &multiply_tiles<Isa, kParts>,
      .store = &store_strip<Isa>,
  };
}

constexpr TileKernels kInt16 = make_tiles<2>();
constexpr TileKernels kInt8 = make_tiles<1>();

constexpr KernelTable make_table() {
  KernelTable table{};
  table.isa = Isa::kName;
  table.needs = Isa::kNeeds;
  table.for_tests = Isa::kForTests;
  table.formats = &QK_FORMAT_KERNELS;
  table.dense = &QK_DENSE_TABLE;
  table.streams = &QK_STREAM_TABLE;
  table.quantizers = &QK_QUANTIZE_TABLE;
  table.tiles[static_cast<int>(Act::kInt16)] = &kInt16;
  table.tiles[static_cast<int>(Act::kInt8)] = &kInt8;
  return table;
}

}  // namespace

constinit const KernelTable QK_KERNEL_TABLE = make_table();

}  // namespace qk
