// Tiles: what the steps of TileKernels do to values that are known, and what all of them give.
#include <array>
#include <cmath>
#include <cstring>
#include <limits>
#include <map>
#include <utility>

#include "check.h"
#include "core/aligned.h"
#include "core/half.h"
#include "kernel_data.h"
#include "kernels/tile_kernels.h"
#include "products.h"

namespace qk {
namespace {

using test::Context;
using test::multiply;
using test::one_by_one;
using test::Product;
using test::Random;
using test::RandomActivations;
using test::RandomWeights;

constexpr float kInfinity = std::numeric_limits<float>::infinity();
constexpr float kLargest = std::numeric_limits<float>::max();

// Calls body(kernels, tiles, act) for all tiles that this CPU runs.
template <class Body>
void for_each_tiles(Body body) {
  for (int isa = 0; isa < isa_count(); ++isa) {
    const KernelTable& kernels = isa_at(isa);
    if (!cpu_runs(kernels)) continue;
    for (const Act act : {Act::kInt16, Act::kInt8}) {
      const TileKernels* tiles = kernels.tiles[static_cast<int>(act)];
      const Context context("%s %s", kernels.isa, act_name(act));
      if (tiles != nullptr) body(kernels, *tiles, act);
    }
  }
}

// Memory for tiles, all of it zeros at first.
struct Tiles {
  explicit Tiles(int64_t bytes) {
    QK_CHECK_OK(memory.reserve(bytes));
    std::memset(memory.data(), 0, static_cast<size_t>(bytes));
  }
  void set(int tile, int row, int column, float value) const {
    const uint16_t bits = float_to_bfloat(value);
    std::memcpy(memory.data() + tile * kTileBytes + row * 64 + column * 2, &bits, sizeof(bits));
  }
  float bfloat(int tile, int row, int column) const {
    uint16_t bits = 0;
    std::memcpy(&bits, memory.data() + tile * kTileBytes + row * 64 + column * 2, sizeof(bits));
    return bfloat_to_float(bits);
  }
  float* sums() const { return reinterpret_cast<float*>(memory.data()); }

  AlignedBuffer memory;
};

// One strip of one part against some slabs, by way of matrices in double precision.
struct OneStrip {
  OneStrip(int slabs, int depth)
      : slab_count(slabs),
        values(depth * kTileDepth),
        strip(2 * kUnitTiles * kTileBytes),
        slab(slabs * kUnitTiles * kTileBytes),
        sums(2 * slabs * kTileBytes) {}

  void set_weight(int row, int i, float value) {
    strip.set(row / kTileRows * kUnitTiles + i / kTileDepth, row % kTileRows, i % kTileDepth,
              value);
    weights[{row, i}] = bfloat_to_float(float_to_bfloat(value));
  }
  void set_batch(int column, int i, float value) {
    slab.set(column / kTileRows * kUnitTiles + i / kTileDepth, i % kTileDepth / 2,
             column % kTileRows * 2 + i % 2, value);
    batch[{column, i}] = bfloat_to_float(float_to_bfloat(value));
  }
  void fill(Random& random) {
    std::normal_distribution<float> gaussian;
    for (int i = 0; i < values; ++i) {
      for (int row = 0; row < kStripRows; ++row) set_weight(row, i, gaussian(random));
      for (int j = 0; j < slab_count * kTileRows; ++j) set_batch(j, i, gaussian(random));
    }
  }
  void run(const TileKernels& tiles, bool from_zero) const {
    tiles.multiply({.strips = strip.memory.data(),
                    .strip_count = 1,
                    .slabs = slab.memory.data(),
                    .slab_stride = kUnitTiles * kTileBytes,
                    .slab_count = slab_count,
                    .depth = values / kTileDepth,
                    .from_zero = from_zero,
                    .sums = sums.sums()});
  }
  float sum(int row, int column) const {
    const int tile = row / kTileRows * slab_count + column / kTileRows;
    return sums.sums()[tile * kTileFloats + row % kTileRows * kTileRows + column % kTileRows];
  }
  // The largest difference from `times` the product in double precision.
  double worst_error(int times) {
    double worst = 0.0;
    for (int row = 0; row < kStripRows; ++row) {
      for (int j = 0; j < slab_count * kTileRows; ++j) {
        double exact = 0.0;
        for (int i = 0; i < values; ++i) exact += weights[{row, i}] * batch[{j, i}];
        worst = std::fmax(worst, std::fabs(sum(row, j) - times * exact));
      }
    }
    return worst;
  }

  int slab_count;
  int values;
  std::map<std::pair<int, int>, double> weights;
  std::map<std::pair<int, int>, double> batch;
  Tiles strip;
  Tiles slab;
  Tiles sums;
};

QK_TEST(sums_of_tiles_are_products_in_double_precision_to_rounding) {
  Random random(1);
  for_each_tiles([&](const KernelTable& kernels, const TileKernels& tiles, Act act) {
    if (act != Act::kInt8) return;  // one part
    for (const auto& [slabs, depth] : {std::pair{1, 1}, {2, 5}, {3, kUnitTiles}}) {
      const Context context("%s slabs=%d depth=%d", kernels.isa, slabs, depth);
      OneStrip one(slabs, depth);
      one.fill(random);
      one.run(tiles, true);
      QK_CHECK(one.worst_error(1) < 1e-6 * one.values);
      one.run(tiles, false);
      QK_CHECK(one.worst_error(2) < 1e-6 * one.values);
    }
  });
}

QK_TEST(tiles_take_denormals_for_zeros) {
  for_each_tiles([&](const KernelTable&, const TileKernels& tiles, Act act) {
    if (act != Act::kInt8) return;
    OneStrip one(1, 1);
    one.set_weight(0, 0, 0x1p-127f);  // read
    one.set_weight(1, 0, 0x1p-126f);  // the least that is read
    one.set_weight(2, 0, 0x1p-100f);
    one.set_batch(0, 0, 1.0f);
    one.set_batch(1, 0, 0x1p-30f);  // made
    one.run(tiles, true);
    QK_CHECK_EQ(one.sum(0, 0), 0.0f);
    QK_CHECK_EQ(one.sum(1, 0), 0x1p-126f);
    QK_CHECK_EQ(one.sum(2, 0), 0x1p-100f);
    QK_CHECK_EQ(one.sum(2, 1), 0.0f);
  });
}

// The parts of one weight.
std::array<float, 2> parts_of(const TileKernels& tiles, float weight) {
  std::array<float, kTileDepth> row{};
  row[7] = weight;
  const Tiles strip(4 * kUnitTiles * kTileBytes);
  tiles.split_row(row.data(), 1, 21, strip.memory.data());
  std::array<float, 2> parts{};
  for (int p = 0; p < tiles.parts; ++p) {
    parts[static_cast<size_t>(p)] = strip.bfloat(kUnitTiles * tiles.parts + p, 21 % kTileRows, 7);
  }
  return parts;
}

QK_TEST(weights_are_the_sum_of_their_parts) {
  Random random(2);
  std::uniform_real_distribution<float> mantissa(1.0f, 2.0f);
  for_each_tiles([&](const KernelTable&, const TileKernels& tiles, Act) {
    for (int exponent = -100; exponent < 128; ++exponent) {
      const float weight = std::ldexp(mantissa(random), exponent);
      for (const float w : {weight, -weight}) {
        const auto [high, low] = parts_of(tiles, w);
        const double error = std::fabs(double{high} + double{low} - double{w});
        QK_CHECK(error <= std::ldexp(std::fabs(double{w}), tiles.parts == 2 ? -17 : -8));
      }
    }
  });
}

QK_TEST(a_finite_weight_is_never_rounded_to_infinity) {
  for_each_tiles([&](const KernelTable&, const TileKernels& tiles, Act) {
    for (const float w : {kLargest, 0x1.ffp127f, 0x1.fefffep127f, 0x1.fep127f}) {
      for (const float sign : {1.0f, -1.0f}) {
        const auto [high, low] = parts_of(tiles, sign * w);
        const Context context("%a = %a + %a", double{sign * w}, double{high}, double{low});
        QK_CHECK(std::isfinite(high) && std::isfinite(low));
        QK_CHECK(std::fabs(double{high} + double{low} - double{sign * w}) <=
                 std::ldexp(double{w}, tiles.parts == 2 ? -16 : -7));
      }
    }
    for (const float w : {kInfinity, -kInfinity, std::nanf(""), float_of_bits(0x7f800001u),
                          float_of_bits(0xffffffffu)}) {
      const auto [high, low] = parts_of(tiles, w);
      QK_CHECK(!std::isfinite(high) || !std::isfinite(low));
    }
  });
}

QK_TEST(a_slice_of_rows_or_of_a_batch_gives_the_bits_of_the_whole) {
  Random random(5);
  for_each_tiles([&](const KernelTable& kernels, const TileKernels&, Act act) {
    const int format = find_format("q4_k");
    constexpr int64_t kBatch = 1040;  // three parts of a batch
    const RandomWeights weights(random, format, 70, 512, 0);
    const RandomActivations x(random, kBatch, 512, 0);
    const Product whole = multiply(one_by_one(), kernels, weights.view, x.view, act);
    QK_REQUIRE(whole.status.ok() && whole.is_complete());
    WeightView rows = weights.view;
    rows.data += 5 * rows.row_stride;
    rows.n = 41;
    ArrayView batch = x.view;
    constexpr int64_t kFirst = 340;
    batch.data = static_cast<uint8_t*>(batch.data) + kFirst * batch.strides[0];
    batch.shape[0] = 19;
    const Product part = multiply(one_by_one(), kernels, rows, batch, act);
    for (int64_t j = 0; j < 19; ++j) {
      for (int64_t i = 0; i < 41; ++i) {
        QK_CHECK_EQ(bits_of_float(part.at(j, i)), bits_of_float(whole.at(kFirst + j, 5 + i)));
      }
    }
  });
}

// Only where the CPU has both.
QK_TEST(emulated_tiles_give_the_bits_of_the_cpus) {
  const KernelTable* cpus = nullptr;
  const KernelTable* emulated = nullptr;
  for (int isa = 0; isa < isa_count(); ++isa) {
    const std::string_view name = isa_at(isa).isa;
    if (name == "amx_bf16" && cpu_runs(isa_at(isa))) cpus = &isa_at(isa);
    if (name == "amx_emulated" && cpu_runs(isa_at(isa))) emulated = &isa_at(isa);
  }
  if (cpus == nullptr || emulated == nullptr) return;
  Random random(6);
  const RandomWeights weights(random, find_format("q6_k"), 100, 1024, 0);
  const RandomActivations x(random, 50, 1024, 0);
  for (const Act act : {Act::kInt16, Act::kInt8}) {
    const Product expected = multiply(one_by_one(), *emulated, weights.view, x.view, act);
    QK_CHECK(multiply(one_by_one(), *cpus, weights.view, x.view, act).same_bits(expected));
  }
}

}  // namespace
}  // namespace qk
