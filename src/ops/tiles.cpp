#include "ops/tiles.h"

#include <algorithm>
#include <cstring>

#include "core/aligned.h"
#include "core/checked.h"
#include "formats/registry.h"
#include "kernels/tile_kernels.h"
#include "ops/pack.h"

namespace qk {
namespace {

constexpr int64_t kMostBatch = 512;  // batch rows that share the decoding of weights
constexpr int64_t kMostStrips = 4;   // strips that share the reading of a slab

// Some batch rows of a product, whose slabs lie at `slabs`.
class Batch {
 public:
  Batch(const KernelTable& kernels, const TileKernels& tiles, const WeightView& weights,
        const LinearArgs& args, std::byte* slabs)
      : tiles_(tiles),
        weights_(weights),
        format_(format_at(weights.format)),
        kernels_(kernels),
        args_(args),
        slabs_(slabs),
        slab_count_(ceil_div(args.m, kTileRows)) {}

  // Makes the slabs.
  void split(const Parallel& parallel) const {
    const int64_t units = args_.units_per_row;
    auto split_slabs = [&](int64_t begin, int64_t end) {
      for (int64_t i = begin; i < end; ++i) {
        tiles_.split_slab(args_, i / units, i % units, slabs_ + i * unit_bytes());
      }
    };
    constexpr int64_t kGrain = 4;  // units of a slab: some microseconds of work
    parallel(slab_count_ * units, kGrain, split_slabs);
  }

  // Strips [begin, end); false, with nothing written, without memory.
  bool multiply(int64_t begin, int64_t end) const {
    const int64_t at_once = std::min(kMostStrips, end - begin);
    const int64_t strip_bytes = at_once * 2 * unit_bytes();
    const int64_t sum_bytes = at_once * 2 * slab_count_ * kTileBytes;
    AlignedBuffer scratch;
    if (!scratch.reserve(strip_bytes + sum_bytes + kStripRows * row_bytes()).ok()) return false;
    std::byte* strips = scratch.data();
    auto* sums = reinterpret_cast<float*>(strips + strip_bytes);
    auto* unpacked = reinterpret_cast<uint8_t*>(strips + strip_bytes + sum_bytes);
    std::memset(strips, 0, static_cast<size_t>(strip_bytes));  // rows past the last are zeros
    for (int64_t first = begin; first < end; first += at_once) {
      multiply_some(first, std::min(at_once, end - first), strips, unpacked, sums);
    }
    return true;
  }

 private:
  // A unit of 16 rows as tiles, and of one row as blocks.
  int64_t unit_bytes() const { return int64_t{kUnitTiles} * tiles_.parts * kTileBytes; }
  int64_t row_bytes() const { return int64_t{kUnit / format_.info.block} * format_.info.bytes; }

  void multiply_some(int64_t first, int64_t count, std::byte* strips, uint8_t* unpacked,
                     float* sums) const {
    for (int64_t unit = 0; unit < args_.units_per_row; ++unit) {
      const int64_t left = std::min<int64_t>(weights_.k - unit * kUnit, kUnit);
      for (int64_t s = 0; s < count; ++s) {
        split_strip((first + s) * kStripRows, unit, left, unpacked, strips + s * 2 * unit_bytes());
      }
      tiles_.multiply({.strips = strips,
                       .strip_count = count,
                       .slabs = slabs_ + unit * unit_bytes(),
                       .slab_stride = args_.units_per_row * unit_bytes(),
                       .slab_count = slab_count_,
                       .depth = static_cast<int>(ceil_div(left, kTileDepth)),
                       .from_zero = unit == 0,
                       .sums = sums});
    }
    for (int64_t s = 0; s < count; ++s) {
      tiles_.store(args_, (first + s) * kStripRows, sums + s * 2 * slab_count_ * kTileFloats);
    }
  }

  // The first `count` weights of a unit of the strip that starts at `row`.
  void split_strip(int64_t row, int64_t unit, int64_t count, uint8_t* unpacked,
                   std::byte* strip) const {
    const int64_t rows = std::min<int64_t>(kStripRows, weights_.n - row);
    const int64_t first_block = unit * (kUnit / format_.info.block);
    const uint8_t* blocks =
        weights_.data + row * weights_.row_stride + first_block * format_.info.bytes;
    int64_t stride = weights_.row_stride;
    if (weights_.layout == Layout::kPanels) {
      unpack_unit(row, rows, first_block, count, unpacked);
      blocks = unpacked;
      stride = ceil_div(count, format_.info.block) * format_.info.bytes;
    }
    alignas(kCacheLine) float decoded[kUnit];
    const int64_t depth = ceil_div(count, kTileDepth);
    std::fill(decoded + count, decoded + depth * kTileDepth, 0.0f);
    for (int64_t r = 0; r < rows; ++r) {
      kernels_.formats->kernels[weights_.format]->decode(blocks + r * stride, count, decoded);
      tiles_.split_row(decoded, static_cast<int>(depth), static_cast<int>(r), strip);
    }
  }

  void unpack_unit(int64_t row, int64_t rows, int64_t first_block, int64_t count,
                   uint8_t* out) const {
    const int panel = panel_rows(kernels_, weights_.format);
    WeightView part = weights_;
    part.data += row * weights_.row_stride + first_block * panel * format_.panel_bytes;
    part.n = rows;
    part.k = count;
    unpack(alone(), part, panel, out);
  }

  const TileKernels& tiles_;
  const WeightView& weights_;
  const Format& format_;
  const KernelTable& kernels_;
  const LinearArgs& args_;
  std::byte* slabs_;
  int64_t slab_count_;
};

}  // namespace

bool linear_by_tiles(const Parallel& parallel, const KernelTable& kernels,
                     const WeightView& weights, const ActivationsView& x, const LinearArgs& args,
                     const LinearKernel& kernel) {
  const TileKernels* tiles = kernels.tiles[static_cast<int>(x.act)];
  if (tiles == nullptr) return false;
  // As equal parts of the batch as whole slabs make.
  const int64_t parts = ceil_div(args.m, kMostBatch);
  const int64_t slab_count = ceil_div(ceil_div(args.m, parts), kTileRows);
  int64_t slab_bytes = 0;
  AlignedBuffer slabs;
  if (!checked_mul(slab_count * kUnitTiles * tiles->parts * kTileBytes, args.units_per_row,
                   &slab_bytes) ||
      !slabs.reserve(slab_bytes).ok()) {
    return false;
  }
  const int64_t at_once = slab_count * kTileRows;
  for (int64_t first = 0; first < args.m; first += at_once) {
    LinearArgs some = args;
    some.units += first * args.units_per_row * tiles->unit_bytes;
    some.row_scales += first;
    some.m = std::min(at_once, args.m - first);
    some.out += first * args.out_stride;
    if (some.bias != nullptr) some.bias += first * args.bias_stride;
    const Batch batch(kernels, *tiles, weights, some, slabs.data());
    batch.split(parallel);
    auto strips = [&](int64_t begin, int64_t end) {
      if (batch.multiply(begin, end)) return;
      const int64_t last = std::min(end * kStripRows, weights.n);
      kernel.run(some, begin * kStripRows / kernel.panel_rows, ceil_div(last, kernel.panel_rows));
    };
    parallel(ceil_div(weights.n, kStripRows), 1, strips);
  }
  return true;
}

}  // namespace qk
