// Panels: packing loses nothing, and every packed kernel is within its bound, whatever the rows
// that the last panel lacks.
#include <cstdint>
#include <cstring>
#include <vector>

#include "check.h"
#include "core/pool.h"
#include "formats/registry.h"
#include "kernel_data.h"
#include "ops/pack.h"
#include "products.h"

namespace qk {
namespace {

using test::bound_of;
using test::Bytes;
using test::Context;
using test::Error;
using test::for_each_kernel;
using test::multiply;
using test::one_by_one;
using test::Packed;
using test::Product;
using test::Random;
using test::RandomActivations;
using test::RandomWeights;

void check_shape(Random& random, const KernelTable& kernels, int format, Act act, int64_t n,
                 int64_t k, int64_t m) {
  const Context context("n=%d k=%d m=%d", static_cast<int>(n), static_cast<int>(k),
                        static_cast<int>(m));
  constexpr int64_t kOutputs = 256;
  Error error;
  while (error.outputs < kOutputs) {
    const RandomWeights weights(random, format, n, k, 1);
    const RandomActivations x(random, m, k, 0);
    const Packed packed(weights, panel_rows(kernels, format));
    const Product product = multiply(Pool::shared().parallel(2), kernels, packed.view, x.view, act);
    QK_REQUIRE(product.status.ok() && product.is_complete());
    QK_CHECK(product.same_bits(multiply(one_by_one(), kernels, packed.view, x.view, act)));
    error.add(product, exact_product(weights, x));
  }
  const Context measured("relative error %.3g, bound %.3g", error.relative(), bound_of(act));
  QK_CHECK(error.relative() < bound_of(act));
}

QK_TEST(every_packed_kernel_is_within_the_bound_of_its_activations) {
  Random random(1);
  for_each_kernel([&](const KernelTable& kernels, int format, Act act) {
    check_shape(random, kernels, format, act, 3, 100, 1);
    check_shape(random, kernels, format, act, 17, 288, 1);
    check_shape(random, kernels, format, act, 17, 576, 5);
  });
}

std::vector<float> decoded(const RandomWeights& weights, const uint8_t* bytes) {
  const Format& format = format_at(weights.view.format);
  const int64_t blocks = weights.bytes.size() / format.info.bytes;
  std::vector<float> out(static_cast<size_t>(blocks * format.info.block));
  for (int64_t b = 0; b < blocks; ++b) {
    format.decode(bytes + b * format.info.bytes, out.data() + b * format.info.block);
  }
  return out;
}

QK_TEST(unpacking_restores_every_weight_and_writes_every_byte) {
  Random random(2);
  for_each_kernel([&](const KernelTable& kernels, int format, Act act) {
    if (effective_act(format, Act::kInt16) != act) return;
    const int rows = panel_rows(kernels, format);
    for (const int64_t n : {1, 16, 19}) {
      const RandomWeights weights(random, format, n, 544, 0);
      const Packed packed(weights, rows);
      const Bytes back(weights.bytes.size(), 0);
      std::memset(back.data(), 0xa5, static_cast<size_t>(back.size()));
      unpack(one_by_one(), packed.view, rows, back.data());
      const std::vector<float> before = decoded(weights, weights.bytes.data());
      const std::vector<float> after = decoded(weights, back.data());
      QK_CHECK(std::memcmp(after.data(), before.data(), before.size() * sizeof(float)) == 0);
      // What decoding ignores is written too: whatever was there, the same bytes are now.
      const Bytes again(back.size(), 0);
      std::memset(again.data(), 0x5a, static_cast<size_t>(again.size()));
      unpack(one_by_one(), packed.view, rows, again.data());
      QK_CHECK(std::memcmp(again.data(), back.data(), static_cast<size_t>(back.size())) == 0);
    }
  });
}

QK_TEST(a_row_unpacked_alone_has_the_bytes_of_all_rows_unpacked) {
  Random random(3);
  for_each_kernel([&](const KernelTable& kernels, int format, Act act) {
    if (effective_act(format, Act::kInt16) != act) return;
    constexpr int64_t kRows = 19;
    const int rows = panel_rows(kernels, format);
    const RandomWeights weights(random, format, kRows, 800, 0);
    const Packed packed(weights, rows);
    const Bytes all(weights.bytes.size(), 0);
    unpack(one_by_one(), packed.view, rows, all.data());
    const int64_t bytes = format_at(format).info.bytes;
    const int64_t blocks = weights.bytes.size() / kRows / bytes;
    for (int64_t row = 0; row < kRows; ++row) {
      for (const int64_t first : {int64_t{0}, blocks - 2}) {
        const Bytes part((blocks - first) * bytes, 0);
        unpack_row(packed.view, rows, row, first, blocks - first, part.data());
        const uint8_t* expected = all.data() + (row * blocks + first) * bytes;
        QK_CHECK(std::memcmp(part.data(), expected, static_cast<size_t>(part.size())) == 0);
      }
    }
  });
}

}  // namespace
}  // namespace qk
