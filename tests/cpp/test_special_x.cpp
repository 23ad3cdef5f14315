// Activations that are not ordinary, by every kernel: where NaN and infinities go and where they do
// not, and values so small or large that sums of their products leave the floats.
#include <cmath>
#include <cstdint>
#include <cstring>
#include <limits>

#include "check.h"
#include "core/half.h"
#include "kernel_data.h"
#include "products.h"

namespace qk {
namespace {

using test::bound_of;
using test::Context;
using test::Error;
using test::few_shapes;
using test::for_each_kernel;
using test::for_each_layout;
using test::multiply;
using test::one_by_one;
using test::Product;
using test::Random;
using test::RandomActivations;
using test::RandomWeights;

constexpr float kInfinity = std::numeric_limits<float>::infinity();
constexpr int64_t kDepth = 300;  // its last block is partly used
constexpr int64_t kRows = 35;

// Products with something bad in batch row 1, beside those of the same x without it.
void check_bad_row(const Product& product, const Product& clean, int64_t m, Act act) {
  for (int64_t j = 0; j < m; ++j) {
    for (int64_t i = 0; i < kRows; ++i) {
      const float y = product.at(j, i);
      if (j != 1) {
        QK_CHECK_EQ(bits_of_float(y), bits_of_float(clean.at(j, i)));
      } else {
        QK_CHECK(act == Act::kFloat32 ? !std::isfinite(y) : std::isnan(y));
      }
    }
  }
}

// With each bad value in turn.
void check_bad_values(const KernelTable& kernels, const WeightView& weights, RandomActivations& x,
                      int64_t m, Act act) {
  const Product clean = multiply(one_by_one(), kernels, weights, x.view, act);
  for (const float bad : {kInfinity, -kInfinity, std::nanf("")}) {
    if (few_shapes() && bad < 0.0f) continue;
    const Context context("m=%d bad=%g", static_cast<int>(m), static_cast<double>(bad));
    uint8_t* spoilt = x.bytes.data() + (kDepth + 100) * 4;  // in batch row 1
    uint8_t before[4];
    std::memcpy(before, spoilt, 4);
    std::memcpy(spoilt, &bad, 4);
    const Product product = multiply(one_by_one(), kernels, weights, x.view, act);
    std::memcpy(spoilt, before, 4);
    check_bad_row(product, clean, m, act);
  }
}

QK_TEST(a_bad_batch_row_spoils_all_its_outputs_and_no_other_row) {
  Random random(1);
  for_each_kernel([&](const KernelTable& kernels, int format, Act act) {
    const RandomWeights weights(random, format, kRows, kDepth, 0);
    for (const int64_t m : {3, 19}) {
      RandomActivations x(random, m, kDepth, 0);
      for_each_layout(kernels, weights,
                      [&](const WeightView& view) { check_bad_values(kernels, view, x, m, act); });
    }
  });
}

QK_TEST(tiny_and_huge_x_keep_the_bound) {
  Random random(2);
  for_each_kernel([&](const KernelTable& kernels, int format, Act act) {
    const RandomWeights weights(random, format, kRows, kDepth, 0);
    for (const double scale : {1e-39, 1e-36, 1e-20, 1e20, 1e30}) {
      if (few_shapes() && scale != 1e-39 && scale != 1e30) continue;
      const Context context("scale=%g", scale);
      RandomActivations few(random, 5, kDepth, 0);
      RandomActivations many(random, 17, kDepth, 0);
      few.scale_by(scale);
      many.scale_by(scale);
      // Over all batch rows, since one row of weights may outweigh the others and a product cancel.
      for_each_layout(kernels, weights, [&](const WeightView& view) {
        Error error;
        for (const RandomActivations* x : {&few, &many}) {
          const Product product = multiply(one_by_one(), kernels, view, x->view, act);
          QK_REQUIRE(product.status.ok() && product.is_complete());
          error.add(product, exact_product(weights, *x));
        }
        QK_CHECK(error.relative() < bound_of(act));
      });
    }
  });
}

QK_TEST(zeros_give_zeros) {
  Random random(3);
  for_each_kernel([&](const KernelTable& kernels, int format, Act act) {
    const RandomWeights weights(random, format, kRows, kDepth, 0);
    for (const int64_t m : {1, 5, 17}) {
      RandomActivations x(random, m, kDepth, 0);
      x.scale_by(0.0);
      for_each_layout(kernels, weights, [&](const WeightView& view) {
        const Product product = multiply(one_by_one(), kernels, view, x.view, act);
        for (int64_t j = 0; j < m; ++j) {
          for (int64_t i = 0; i < kRows; ++i) QK_CHECK_EQ(product.at(j, i), 0.0f);
        }
      });
    }
  });
}

}  // namespace
}  // namespace qk
