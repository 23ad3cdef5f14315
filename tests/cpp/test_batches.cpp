// Batches of 16 rows and more, which go through panels or tiles: the same to the last bit as packed
// weights, however rows are split.
#include <atomic>
#include <cstdint>
#include <cstdlib>
#include <limits>
#include <vector>

#include "check.h"
#include "core/pool.h"
#include "formats/registry.h"
#include "kernel_data.h"
#include "ops/pack.h"
#include "products.h"

namespace {

// How many more pieces of memory AlignedBuffer is given.
std::atomic<int> allocations_left{std::numeric_limits<int>::max()};

}  // namespace

// In place of the C library's.
extern "C" void* aligned_alloc(size_t alignment, size_t size) noexcept {
  void* memory = nullptr;
  if (allocations_left.fetch_sub(1) <= 0 || posix_memalign(&memory, alignment, size) != 0) {
    return nullptr;
  }
  return memory;
}

namespace qk {
namespace {

using test::bound_of;
using test::Context;
using test::Error;
using test::few_shapes;
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
    const Product product =
        multiply(Pool::shared().parallel(2), kernels, weights.view, x.view, act);
    QK_REQUIRE(product.status.ok() && product.is_complete());
    QK_CHECK(product.same_bits(multiply(one_by_one(), kernels, weights.view, x.view, act)));
    if (!format_at(format).is_float) {
      QK_CHECK(product.same_bits(multiply(one_by_one(), kernels, packed.view, x.view, act)));
    }
    error.add(product, exact_product(weights, x));
  }
  const Context measured("relative error %.3g, bound %.3g", error.relative(), bound_of(act));
  QK_CHECK(error.relative() < bound_of(act));
}

QK_TEST(large_batches_are_within_the_bound_native_and_packed) {
  Random random(3);
  for_each_kernel([&](const KernelTable& kernels, int format, Act act) {
    check_shape(random, kernels, format, act, 1, 1, 17);
    check_shape(random, kernels, format, act, 35, 288, 33);
    if (few_shapes()) return;
    check_shape(random, kernels, format, act, 17, 288, 17);
    check_shape(random, kernels, format, act, 33, 100, 16);
    check_shape(random, kernels, format, act, 147, 800, 33);
  });
}

QK_TEST(a_bias_is_added_to_each_row_of_a_large_batch) {
  Random random(4);
  for_each_kernel([&](const KernelTable& kernels, int format, Act act) {
    constexpr int64_t kRows = 35;
    const RandomWeights weights(random, format, kRows, 256, 0);
    const RandomActivations x(random, 17, 256, 0);
    std::vector<float> bias(kRows);
    for (size_t i = 0; i < bias.size(); ++i) bias[i] = 0.37f * static_cast<float>(i);
    const Product plain = multiply(one_by_one(), kernels, weights.view, x.view, act);
    const Product biased = multiply(one_by_one(), kernels, weights.view, x.view, act, bias.data());
    for (int64_t j = 0; j < 17; ++j) {
      for (int64_t i = 0; i < kRows; ++i) {
        QK_CHECK_EQ(biased.at(j, i), plain.at(j, i) + bias[static_cast<size_t>(i)]);
      }
    }
  });
}

QK_TEST(without_memory_large_batches_take_a_slower_way) {
  Random random(6);
  for_each_kernel([&](const KernelTable& kernels, int format, Act act) {
    const RandomWeights weights(random, format, 70, 288, 0);
    const RandomActivations x(random, 17, 288, 0);
    const Packed packed(weights, panel_rows(kernels, format));
    for (const WeightView& view : {weights.view, packed.view}) {
      for (const int allocations : {1, 2}) {  // that of the activations, and one more
        const Context context("%d allocations", allocations);
        allocations_left = allocations;
        const Product product = multiply(one_by_one(), kernels, view, x.view, act);
        const bool refused = allocations_left < 0;
        allocations_left = std::numeric_limits<int>::max();
        QK_CHECK(refused || view.layout == Layout::kPanels || format_at(format).is_float);
        QK_REQUIRE(product.status.ok() && product.is_complete());
        Error error;
        error.add(product, exact_product(weights, x));
        QK_CHECK(error.relative() < bound_of(act));
      }
    }
  });
}

}  // namespace
}  // namespace qk
