// Products of large batches by tiles (kernels/tile_kernels.h), whatever the format: weights come
// decoded.
//
// I::Tiles is eight tile registers: 0-3 sums, 4-5 weights, 6-7 activations. In two parts, products
// are low * high + high * high + high * low, off by 2^-15 at most and by some 2^-18 in the mean,
// where quantising x to int16 takes 2^-16. Tiles take denormals for zeros, so that weights below
// 2^-117 lose their lower part and those below 2^-126 count for nothing.
#pragma once

#include "core/half.h"
#include "kernels/activation_unit.h"
#include "kernels/tile_kernels.h"

namespace qk::QK_ISA {
namespace {

// The bits of the nearest bfloat16, ties to even, for what stays finite so.
QK_INLINE uint32_t nearest_bfloat(uint32_t bits) {
  return (bits + 0x7fffu + ((bits >> 16) & 1u)) & 0xffff0000u;
}

// value = the sum of its parts, to 8 bits each. A finite part is never rounded to infinity; of what
// is not finite, one part at least is not.
template <int kParts>
QK_INLINE void split(float value, int i, uint16_t (&parts)[kParts][kTileDepth]) {
  constexpr uint32_t kFirstThatOverflows = 0x7f7f8000u;
  const uint32_t bits = bits_of_float(value);
  const uint32_t nearest = nearest_bfloat(bits);
  const uint32_t high = (bits & 0x7fffffffu) < kFirstThatOverflows ? nearest : bits & 0xffff0000u;
  parts[0][i] = static_cast<uint16_t>(high >> 16);
  if constexpr (kParts == 2) {
    const float rest = value - float_of_bits(high);
    parts[1][i] = static_cast<uint16_t>(nearest_bfloat(bits_of_float(rest)) >> 16);
  }
}

// Where the tile of group g lies among those of 16 rows, and how long these are.
template <int kParts>
QK_INLINE int tile_offset(int g, int part) {
  return (g * kParts + part) * kTileBytes;
}
template <int kParts>
inline constexpr int64_t kUnitBytes = kUnitTiles * kParts * kTileBytes;

template <class I, int kParts>
void split_row(const float* weights, int depth, int row, std::byte* strip) {
  std::byte* first = strip + row / kTileRows * kUnitBytes<kParts>;
  for (int g = 0; g < depth; ++g) {
    uint16_t parts[kParts][kTileDepth];
    for (int i = 0; i < kTileDepth; ++i) split(weights[g * kTileDepth + i], i, parts);
    for (int p = 0; p < kParts; ++p) {
      constexpr int kRowBytes = sizeof(parts[0]);
      __builtin_memcpy(first + tile_offset<kParts>(g, p) + row % kTileRows * kRowBytes, parts[p],
                       kRowBytes);
    }
  }
}

// Planes in order, as avx512vnni has them.
QK_INLINE int32_t quantised(const int8_t (&planes)[1][kUnit], int i) { return planes[0][i]; }
QK_INLINE int32_t quantised(const int8_t (&planes)[2][kUnit], int i) {
  return 256 * planes[0][i] + planes[1][i];
}

// Group g of one batch row.
template <int kParts>
QK_INLINE void split_group(const IntegerUnit<kParts>& unit, int g,
                           uint16_t (&parts)[kParts][kTileDepth]) {
  static_assert(kTileDepth == kActivationGroup);
  const float scale = unit.scale[g];
  for (int i = 0; i < kTileDepth; ++i) {
    split(scale * static_cast<float>(quantised(unit.planes, g * kTileDepth + i)), i, parts);
  }
}

template <class I, int kParts>
void split_slab(const LinearArgs& args, int64_t slab, int64_t unit, std::byte* tiles) {
  const auto* first = reinterpret_cast<const IntegerUnit<kParts>*>(args.units) +
                      slab * kTileRows * args.units_per_row + unit;
  const int64_t left = args.m - slab * kTileRows;
  const int count = left < kTileRows ? static_cast<int>(left) : kTileRows;
  for (int g = 0; g < kUnitTiles; ++g) {
    uint16_t rows[kParts][kTileRows][kTileDepth] = {};
    for (int j = 0; j < count; ++j) {
      uint16_t parts[kParts][kTileDepth];
      split_group(first[j * args.units_per_row], g, parts);
      for (int p = 0; p < kParts; ++p) __builtin_memcpy(rows[p][j], parts[p], sizeof(parts[p]));
    }
    for (int p = 0; p < kParts; ++p) I::turn(rows[p], tiles + tile_offset<kParts>(g, p));
  }
}

template <class Tiles>
QK_INLINE void load_weights(Tiles& tiles, const std::byte* tile, int64_t row_stride) {
  tiles.template load<4>(tile);
  tiles.template load<5>(tile + row_stride);
}

template <int kSlabs, class Tiles>
QK_INLINE void load_slabs(Tiles& tiles, const std::byte* tile, int64_t slab_stride) {
  tiles.template load<6>(tile);
  if constexpr (kSlabs == 2) tiles.template load<7>(tile + slab_stride);
}

template <int kSlabs, class Tiles>
QK_INLINE void add_products(Tiles& tiles) {
  tiles.template dot<0, 4, 6>();
  tiles.template dot<2, 5, 6>();
  if constexpr (kSlabs == 2) {
    tiles.template dot<1, 4, 7>();
    tiles.template dot<3, 5, 7>();
  }
}

// Two tiles of weights against one or two slabs, for each group of the unit.
template <int kParts, int kSlabs, class Tiles>
QK_INLINE void add_unit(Tiles& tiles, const TileProduct& product, const std::byte* strip,
                        const std::byte* slabs) {
  for (int g = 0; g < product.depth; ++g) {
    const std::byte* high = slabs + tile_offset<kParts>(g, 0);
    load_slabs<kSlabs>(tiles, high, product.slab_stride);
    if constexpr (kParts == 2) {
      load_weights(tiles, strip + tile_offset<kParts>(g, 1), kUnitBytes<kParts>);
      add_products<kSlabs>(tiles);
    }
    load_weights(tiles, strip + tile_offset<kParts>(g, 0), kUnitBytes<kParts>);
    add_products<kSlabs>(tiles);
    if constexpr (kParts == 2) {
      load_slabs<kSlabs>(tiles, high + kTileBytes, product.slab_stride);
      add_products<kSlabs>(tiles);
    }
  }
}

// The same with the sums before and after; those of the second 16 rows are row_stride floats on.
template <int kParts, int kSlabs, class Tiles>
QK_INLINE void multiply_strip(Tiles& tiles, const TileProduct& product, const std::byte* strip,
                              const std::byte* slabs, float* sums, int64_t row_stride) {
  if (product.from_zero) {
    tiles.template zero<0>();
    tiles.template zero<2>();
    if constexpr (kSlabs == 2) tiles.template zero<1>();
    if constexpr (kSlabs == 2) tiles.template zero<3>();
  } else {
    tiles.template load<0>(sums);
    tiles.template load<2>(sums + row_stride);
    if constexpr (kSlabs == 2) tiles.template load<1>(sums + kTileFloats);
    if constexpr (kSlabs == 2) tiles.template load<3>(sums + kTileFloats + row_stride);
  }
  add_unit<kParts, kSlabs>(tiles, product, strip, slabs);
  tiles.template store<0>(sums);
  tiles.template store<2>(sums + row_stride);
  if constexpr (kSlabs == 2) tiles.template store<1>(sums + kTileFloats);
  if constexpr (kSlabs == 2) tiles.template store<3>(sums + kTileFloats + row_stride);
}

// All strips meet two slabs before the next two come from a cache farther away.
template <class I, int kParts>
void multiply_tiles(const TileProduct& product) {
  const int64_t row_stride = product.slab_count * kTileFloats;
  typename I::Tiles tiles;
  for (int64_t b = 0; b < product.slab_count; b += 2) {
    const std::byte* slabs = product.slabs + b * product.slab_stride;
    for (int64_t s = 0; s < product.strip_count; ++s) {
      const std::byte* strip = product.strips + 2 * s * kUnitBytes<kParts>;
      float* sums = product.sums + 2 * s * row_stride + b * kTileFloats;
      if (b + 1 < product.slab_count) {
        multiply_strip<kParts, 2>(tiles, product, strip, slabs, sums, row_stride);
      } else {
        multiply_strip<kParts, 1>(tiles, product, strip, slabs, sums, row_stride);
      }
    }
  }
}

// A tile of sums: out[j * out_stride + row + i] for `rows` weight rows and `count` batch rows.
template <class I>
QK_INLINE void store_tile(const LinearArgs& args, int64_t row, int rows, int64_t column, int count,
                          const float* sums) {
  float turned[kTileRows][kTileRows];
  float bias[kTileRows] = {};
  I::turn(sums, turned);
  for (int j = 0; j < count; ++j) {
    if (args.bias != nullptr) {
      __builtin_memcpy(bias, args.bias + (column + j) * args.bias_stride + row,
                       static_cast<size_t>(rows) * sizeof(float));
    }
    const float scale = args.row_scales[column + j];
    float results[kTileRows];
    for (int i = 0; i < kTileRows; ++i) results[i] = turned[j][i] * scale + bias[i];
    float* out = args.out + (column + j) * args.out_stride + row;
    __builtin_memcpy(out, results, static_cast<size_t>(rows) * sizeof(float));
  }
}

template <class I>
void store_strip(const LinearArgs& args, int64_t row, const float* sums) {
  for (int64_t first = row; first < row + kStripRows && first < args.n; first += kTileRows) {
    const int rows = args.n - first < kTileRows ? static_cast<int>(args.n - first) : kTileRows;
    for (int64_t column = 0; column < args.m; column += kTileRows) {
      const int64_t left = args.m - column;
      const int count = left < kTileRows ? static_cast<int>(left) : kTileRows;
      store_tile<I>(args, first, rows, column, count, sums);
      sums += kTileFloats;
    }
  }
}

}  // namespace
}  // namespace qk::QK_ISA
