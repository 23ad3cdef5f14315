// Products are the same to the last bit, however rows are split and whoever else is calling.
#include <cstdint>
#include <thread>
#include <utility>
#include <vector>

#include "check.h"
#include "core/half.h"
#include "core/pool.h"
#include "kernel_data.h"
#include "products.h"

namespace qk {
namespace {

using test::Context;
using test::for_each_kernel;
using test::multiply;
using test::one_by_one;
using test::Product;
using test::Random;
using test::RandomActivations;
using test::RandomWeights;

QK_TEST(threads_and_the_split_of_rows_do_not_change_a_bit) {
  Random random(2);
  for_each_kernel([&](const KernelTable& kernels, int format, Act act) {
    for (const int64_t m : {1, 5, 19}) {
      const RandomWeights weights(random, format, 131, 288, 1);
      const RandomActivations x(random, m, 288, 0);
      const Product alone = multiply(one_by_one(), kernels, weights.view, x.view, act);
      QK_CHECK_OK(alone.status);
      for (const int threads : {1, 2, 3, 7, 64}) {
        const Context context("m=%d threads=%d", static_cast<int>(m), threads);
        const Parallel parallel = Pool::shared().parallel(threads);
        QK_CHECK(multiply(parallel, kernels, weights.view, x.view, act).same_bits(alone));
      }
    }
  });
}

QK_TEST(a_slice_of_rows_gives_the_bits_of_the_whole) {
  Random random(3);
  for_each_kernel([&](const KernelTable& kernels, int format, Act act) {
    const RandomWeights weights(random, format, 9, 288, 0);
    for (const int64_t m : {2, 19}) {
      const RandomActivations x(random, m, 288, 0);
      const Product whole = multiply(one_by_one(), kernels, weights.view, x.view, act);
      WeightView slice = weights.view;
      slice.data += 2 * slice.row_stride;
      slice.row_stride *= 3;
      slice.n = 3;
      const Product part = multiply(one_by_one(), kernels, slice, x.view, act);
      for (int64_t j = 0; j < m; ++j) {
        for (int64_t i = 0; i < 3; ++i) {
          QK_CHECK_EQ(bits_of_float(part.at(j, i)), bits_of_float(whole.at(j, 2 + 3 * i)));
        }
      }
    }
  });
}

// What one caller of many multiplies, and the bits that it got when it was alone.
struct Case {
  const KernelTable* kernels;
  Act act;
  RandomWeights weights;
  RandomActivations x;
  Product alone;
};

QK_TEST(sixteen_callers_at_once_each_get_the_bits_of_one_alone) {
  Random random(8);
  std::vector<Case> cases;
  for_each_kernel([&](const KernelTable& kernels, int format, Act act) {
    RandomWeights weights(random, format, 100, 288, 0);
    RandomActivations x(random, 2, 288, 0);
    Product alone = multiply(one_by_one(), kernels, weights.view, x.view, act);
    QK_CHECK_OK(alone.status);
    cases.push_back({&kernels, act, std::move(weights), std::move(x), std::move(alone)});
  });
  std::vector<std::thread> callers;
  callers.reserve(16);
  for (int c = 0; c < 16; ++c) {
    callers.emplace_back([c, &cases] {
      const Parallel parallel = Pool::shared().parallel(1 + c % 4);
      for (size_t i = 0; i < cases.size(); ++i) {
        const Case& one = cases[(i + static_cast<size_t>(c)) % cases.size()];
        const Context context("caller %d, %s", c, one.kernels->isa);
        const Product product =
            multiply(parallel, *one.kernels, one.weights.view, one.x.view, one.act);
        QK_CHECK(product.same_bits(one.alone));
      }
    });
  }
  for (std::thread& caller : callers) caller.join();
}

}  // namespace
}  // namespace qk
