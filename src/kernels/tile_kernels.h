// What an ISA that multiplies tiles offers for one kind of activations: a product of a large batch
// in four steps, which ops/tiles.cpp calls in turn.
//
// A tile is 16 rows of 64 bytes, one after the other. Values are bfloat16, in one part (the value
// rounded) or in two (then what rounding left, rounded). Tiles of one unit of 256 values lie
// together, those of each 32 values part by part:
//   strip   32 weight rows: the unit's tiles of rows 0-15, then those of rows 16-31. Row r of a
//           tile is 32 weights of row r
//   slab    16 batch rows, zeros where the batch has fewer. Row r of a tile is values 2r and 2r + 1
//           of each batch row, side by side
//   sums    float32, row r of a tile is weight row r; for each strip, the tiles of rows 0-15 with
//           every slab, then those of rows 16-31
#pragma once

#include <cstddef>
#include <cstdint>

#include "formats/format.h"
#include "kernels/table.h"

namespace qk {

inline constexpr int kTileRows = 16;   // weight rows or batch rows of a tile
inline constexpr int kTileDepth = 32;  // values of each of them
inline constexpr int kTileBytes = 1024;
inline constexpr int kTileFloats = kTileBytes / 4;  // of sums
inline constexpr int kUnitTiles = kUnit / kTileDepth;
inline constexpr int kStripRows = 2 * kTileRows;

// One unit of some strips against every slab of the batch.
struct TileProduct {
  const std::byte* strips;
  int64_t strip_count;
  const std::byte* slabs;  // this unit of the first one
  int64_t slab_stride;     // bytes from one slab to the next
  int64_t slab_count;
  int depth;       // tiles of the unit that are multiplied, 1..kUnitTiles
  bool from_zero;  // whether sums start here
  float* sums;
};

struct TileKernels {
  int parts;
  int64_t unit_bytes;  // of activations

  // The weights of one row of a strip, `depth` tiles of them, from floats.
  void (*split_row)(const float* weights, int depth, int row, std::byte* strip);

  // A unit of a slab, from the activations of `args`.
  void (*split_slab)(const LinearArgs& args, int64_t slab, int64_t unit, std::byte* tiles);

  // sums += strips . slabs, each from its weight row and its batch row alone, in a fixed order.
  void (*multiply)(const TileProduct& product);

  // The results of the strip that starts at weight row `row`, from its sums over all units.
  void (*store)(const LinearArgs& args, int64_t row, const float* sums);
};

}  // namespace qk
