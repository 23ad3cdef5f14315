// Every format, kind of activations and ISA that this CPU runs: within the bounds, and no more
// written than asked for.
#include <algorithm>
#include <array>
#include <cstdint>
#include <cstdio>
#include <map>
#include <string>
#include <vector>

#include "check.h"
#include "core/pool.h"
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
using test::Outliers;
using test::Product;
using test::Random;
using test::RandomActivations;
using test::RandomWeights;

struct Shapes {
  std::vector<int64_t> n;
  std::vector<int64_t> k;
  std::vector<int64_t> m;
};

Shapes shapes_to_check() {
  if (few_shapes()) return {{3, 17}, {1, 100, 256, 576}, {1, 5}};
  return {{1, 3, 17}, {1, 31, 32, 33, 100, 256, 257, 576}, {1, 2, 5}};
}

// The error of one kernel and shape, which is checked against its bound.
double check_shape(Random& random, const KernelTable& kernels, int format, Act act, int64_t n,
                   int64_t k, int64_t m) {
  const Context context("n=%d k=%d m=%d", static_cast<int>(n), static_cast<int>(k),
                        static_cast<int>(m));
  constexpr int64_t kOutputs = 512;
  Error error;
  for (int shift = 0; error.outputs < kOutputs; shift = 1 - shift) {
    const RandomWeights weights(random, format, n, k, shift);
    const RandomActivations x(random, m, k, shift);
    const Product product =
        multiply(Pool::shared().parallel(2), kernels, weights.view, x.view, act);
    if (!QK_CHECK_OK(product.status) || !QK_CHECK(product.is_complete())) return 0.0;
    error.add(product, exact_product(weights, x));
  }
  const Context measured("relative error %.3g, bound %.3g", error.relative(), bound_of(act));
  QK_CHECK(error.relative() < bound_of(act));
  return error.relative();
}

QK_TEST(every_kernel_is_within_the_bound_of_its_activations) {
  Random random(1);
  const Shapes shapes = shapes_to_check();
  std::map<std::string, std::array<double, kActs>> worst;
  for_each_kernel([&](const KernelTable& kernels, int format, Act act) {
    const std::string kernel = std::string(format_at(format).info.name) + " " + kernels.isa;
    double& error = worst[kernel][static_cast<size_t>(act)];
    for (const int64_t n : shapes.n) {
      for (const int64_t k : shapes.k) {
        for (const int64_t m : shapes.m) {
          error = std::max(error, check_shape(random, kernels, format, act, n, k, m));
        }
      }
    }
  });
  std::printf("  worst relative errors         int16  float32     int8\n");
  for (const auto& [kernel, errors] : worst) {
    std::printf("  %-24s %9.1e%9.1e%9.1e\n", kernel.c_str(), errors[0], errors[1], errors[2]);
  }
}

// From 3 rows on a kernel takes several at once, and from 16 on another way.
QK_TEST(batches_of_3_to_15_are_within_the_bound_for_many_rows) {
  Random random(2);
  const int64_t n = few_shapes() ? 67 : 259;
  for_each_kernel([&](const KernelTable& kernels, int format, Act act) {
    const RandomWeights weights(random, format, n, 288, 1);
    for (int64_t m = 3; m < 16; m += few_shapes() ? 6 : 1) {
      const Context context("m=%d", static_cast<int>(m));
      const RandomActivations x(random, m, 288, 0, Outliers::kNone);
      const std::vector<double> exact = exact_product(weights, x);
      for_each_layout(kernels, weights, [&](const WeightView& view) {
        const Product product = multiply(Pool::shared().parallel(3), kernels, view, x.view, act);
        QK_REQUIRE(product.status.ok() && product.is_complete());
        Error error;
        error.add(product, exact);
        QK_CHECK(error.relative() < bound_of(act));
      });
    }
  });
}

QK_TEST(one_value_of_a_thousand_keeps_the_bound) {
  Random random(3);
  for_each_kernel([&](const KernelTable& kernels, int format, Act act) {
    const RandomWeights weights(random, format, 33, 576, 0);
    for (const int64_t m : {1, 5, 17}) {
      const Context context("m=%d", static_cast<int>(m));
      for_each_layout(kernels, weights, [&](const WeightView& view) {
        Error error;
        for (int64_t row = 0; row < 34; row += m) {
          const RandomActivations x(random, m, 576, 0, Outliers::kOne);
          const Product product = multiply(Pool::shared().parallel(2), kernels, view, x.view, act);
          QK_REQUIRE(product.status.ok() && product.is_complete());
          error.add(product, exact_product(weights, x));
        }
        QK_CHECK(error.relative() < bound_of(act));
      });
    }
  });
}

QK_TEST(a_bias_is_added_to_each_batch_row) {
  Random random(4);
  for_each_kernel([&](const KernelTable& kernels, int format, Act act) {
    const RandomWeights weights(random, format, 5, 256, 0);
    const RandomActivations x(random, 2, 256, 0);
    const std::vector<float> bias = {1.0f, -2.0f, 0.0f, 1e6f, 0.5f};
    const Parallel parallel = one_by_one();
    const Product plain = multiply(parallel, kernels, weights.view, x.view, act);
    const Product biased = multiply(parallel, kernels, weights.view, x.view, act, bias.data());
    for (int64_t j = 0; j < 2; ++j) {
      for (int64_t i = 0; i < 5; ++i) {
        QK_CHECK_EQ(biased.at(j, i), plain.at(j, i) + bias[static_cast<size_t>(i)]);
      }
    }
  });
}

QK_TEST(an_empty_batch_writes_nothing) {
  Random random(5);
  for_each_kernel([&](const KernelTable& kernels, int format, Act act) {
    const RandomWeights weights(random, format, 5, 256, 0);
    const RandomActivations x(random, 0, 256, 0);
    QK_CHECK_OK(multiply(Pool::shared().parallel(2), kernels, weights.view, x.view, act).status);
  });
}

QK_TEST(a_refused_product_leaves_its_result_alone) {
  Random random(6);
  for_each_kernel([&](const KernelTable& kernels, int format, Act act) {
    const Parallel parallel = Pool::shared().parallel(2);
    const RandomWeights weights(random, format, 3, 256, 0);
    const RandomActivations short_x(random, 2, 255, 0);
    const Product depth = multiply(parallel, kernels, weights.view, short_x.view, act);
    QK_CHECK_FAILS(depth.status, Code::kValue, "k=255");
    QK_CHECK(depth.is_untouched());

    const RandomActivations x(random, 2, 256, 0);
    WeightView experts = weights.view;
    experts.ndim = 3;
    experts.experts = experts.stack_shape[0] = 2;
    const Product expert = multiply(parallel, kernels, experts, x.view, act);
    QK_CHECK_FAILS(expert.status, Code::kValue, "2 matrices");
    QK_CHECK(expert.is_untouched());

    if (!format_at(format).is_float) return;
    const Product integer = multiply(parallel, kernels, weights.view, x.view, Act::kInt16);
    QK_CHECK_FAILS(integer.status, Code::kValue, "float32 activations");
    QK_CHECK(integer.is_untouched());
  });
}

}  // namespace
}  // namespace qk
