// The kernels of float vectors, on every ISA that this CPU runs, against double precision: norms,
// gates, conversions, and the exponential that gates and attention share.
#include <algorithm>
#include <cmath>
#include <cstdint>
#include <limits>
#include <random>
#include <vector>

#include "check.h"
#include "core/half.h"
#include "dispatch/dispatch.h"

namespace qk {
namespace {

using test::Context;

constexpr float kInfinity = std::numeric_limits<float>::infinity();
constexpr float kNaN = std::numeric_limits<float>::quiet_NaN();
constexpr float kLargest = std::numeric_limits<float>::max();

// Around every ISA's vectors, and pairs of them, and long ones.
constexpr int kCounts[] = {0, 1, 2, 3, 4, 5, 7, 8, 9, 15, 16, 17, 31, 32, 33, 63, 64, 256, 1001};

template <class Body>
void for_each_isa(Body body) {
  for (int isa = 0; isa < isa_count(); ++isa) {
    if (!cpu_runs(isa_at(isa))) continue;
    const Context context("%s", isa_at(isa).isa);
    body(*isa_at(isa).dense);
  }
}

std::vector<float> gaussians(std::mt19937& random, int count) {
  std::normal_distribution<float> normal;
  std::vector<float> values(static_cast<size_t>(count));
  for (float& value : values) value = normal(random);
  return values;
}

double silu(double g) { return g / (1.0 + std::exp(-g)); }

// silu of each value, by way of gate() with ones.
std::vector<float> silu_of(const DenseKernels& kernels, std::vector<float> values) {
  const std::vector<float> ones(values.size(), 1.0f);
  kernels.gate(values.data(), ones.data(), static_cast<int64_t>(values.size()));
  return values;
}

bool same_bits(float a, float b) { return bits_of_float(a) == bits_of_float(b); }

QK_TEST(sums_of_squares_are_within_rounding) {
  for_each_isa([](const DenseKernels& kernels) {
    std::mt19937 random(1);
    for (const int count : kCounts) {
      const Context context("count=%d", count);
      const std::vector<float> x = gaussians(random, count);
      double exact = 0.0;
      for (const float value : x) exact += static_cast<double>(value) * static_cast<double>(value);
      const auto sum = static_cast<double>(kernels.sum_squares(x.data(), count));
      QK_CHECK(std::fabs(sum - exact) <= 2e-6 * exact);
    }
  });
}

QK_TEST(normalising_multiplies_by_the_factor_and_then_by_the_gain) {
  for_each_isa([](const DenseKernels& kernels) {
    std::mt19937 random(2);
    for (const int count : kCounts) {
      const Context context("count=%d", count);
      const std::vector<float> x = gaussians(random, count);
      const std::vector<float> gains = gaussians(random, count);
      std::vector<float> out = x;
      out.push_back(7.0f);
      kernels.normalise(out.data(), 0.3f, gains.data(), count, out.data());
      for (size_t i = 0; i < x.size(); ++i) QK_CHECK(same_bits(out[i], x[i] * 0.3f * gains[i]));
      QK_CHECK_EQ(out.back(), 7.0f);
    }
  });
}

QK_TEST(gates_are_silu_times_up_and_no_more_is_written) {
  for_each_isa([](const DenseKernels& kernels) {
    std::mt19937 random(3);
    for (const int count : kCounts) {
      const Context context("count=%d", count);
      std::vector<float> gate = gaussians(random, count);
      for (float& g : gate) g *= 5.0f;
      const std::vector<float> g = gate;
      const std::vector<float> up = gaussians(random, count);
      gate.push_back(7.0f);
      kernels.gate(gate.data(), up.data(), count);
      for (size_t i = 0; i < g.size(); ++i) {
        const double exact = silu(static_cast<double>(g[i])) * static_cast<double>(up[i]);
        QK_CHECK(std::fabs(static_cast<double>(gate[i]) - exact) <= 5e-7 * std::fabs(exact));
      }
      QK_CHECK_EQ(gate.back(), 7.0f);
    }
  });
}

// For g far below zero silu is g * e^g, and what is wrong with it is what is wrong with e^-g, but
// for two roundings.
QK_TEST(the_exponential_is_within_3e_7) {
  for_each_isa([](const DenseKernels& kernels) {
    std::vector<float> g;
    for (int i = -6300; i <= 6300; ++i) g.push_back(static_cast<float>(i) * 0.0138f);
    const std::vector<float> silus = silu_of(kernels, g);
    double worst = 0.0;
    for (size_t i = 0; i < g.size(); ++i) {
      const double exact = silu(static_cast<double>(g[i]));
      worst = std::max(worst, std::fabs(static_cast<double>(silus[i]) / exact - 1.0));
    }
    const Context context("relative error %.3g", worst);
    QK_CHECK(worst <= 3e-7);
  });
}

QK_TEST(silu_has_its_limits_at_either_end_and_keeps_nan) {
  for_each_isa([](const DenseKernels& kernels) {
    for (const float g : {-88.0f, -104.0f, -1e4f, -1e30f, -kLargest, -kInfinity}) {
      const Context context("g=%g", static_cast<double>(g));
      // In a whole vector, and in the last, partial one.
      for (const float value : silu_of(kernels, std::vector<float>(17, g))) {
        QK_CHECK(value <= 0.0f && value >= -1e-35f);
      }
    }
    for (const float g : {88.0f, 1e4f, 1e30f, kLargest, kInfinity}) {
      for (const float value : silu_of(kernels, std::vector<float>(17, g))) QK_CHECK_EQ(value, g);
    }
    for (const float value : silu_of(kernels, std::vector<float>(17, kNaN))) {
      QK_CHECK(std::isnan(value));
    }
    for (const float value : silu_of(kernels, std::vector<float>(17, 0.0f))) {
      QK_CHECK_EQ(value, 0.0f);
    }
  });
}

QK_TEST(a_bad_value_of_a_gate_stays_where_it_is) {
  for_each_isa([](const DenseKernels& kernels) {
    std::mt19937 random(4);
    const std::vector<float> g = gaussians(random, 37);
    const std::vector<float> clean = silu_of(kernels, g);
    for (const size_t at : {size_t{0}, size_t{20}, size_t{36}}) {
      for (const float bad : {kNaN, kInfinity, -kInfinity}) {
        std::vector<float> spoilt = g;
        spoilt[at] = bad;
        const std::vector<float> silus = silu_of(kernels, spoilt);
        for (size_t i = 0; i < g.size(); ++i) QK_CHECK(i == at || same_bits(silus[i], clean[i]));
      }
    }
  });
}

// Every half, the midpoints between them and their neighbours, and arbitrary floats.
QK_TEST(halves_are_rounded_as_in_core) {
  std::vector<float> values = {kInfinity, -kInfinity, kNaN, -kNaN, kLargest, 65519.996f, 65520.0f};
  for (uint32_t bits = 0; bits < 0x7c00; ++bits) {
    const float low = half_to_float(static_cast<uint16_t>(bits));
    const float middle = low + (half_to_float(static_cast<uint16_t>(bits + 1)) - low) / 2;
    for (const float value :
         {low, middle, std::nextafter(middle, 0.0f), std::nextafter(middle, 1e9f)}) {
      values.push_back(value);
      values.push_back(-value);
    }
  }
  std::mt19937 random(5);
  for (int i = 0; i < 50000; ++i) {
    values.push_back(float_of_bits(static_cast<uint32_t>(random())));
  }
  for_each_isa([&](const DenseKernels& kernels) {
    std::vector<uint16_t> halves(values.size());
    kernels.to_halves(values.data(), static_cast<int64_t>(values.size()), halves.data());
    for (size_t i = 0; i < values.size(); ++i) {
      if (std::isnan(values[i])) {
        QK_CHECK((halves[i] & 0x7fff) > 0x7c00);
      } else if (halves[i] != float_to_half(values[i])) {
        const Context context("value %a", static_cast<double>(values[i]));
        QK_CHECK_EQ(halves[i], float_to_half(values[i]));
      }
    }
    for (const int count : kCounts) {
      std::vector<uint16_t> some(static_cast<size_t>(count) + 1, 77);
      kernels.to_halves(values.data() + 9, count, some.data());
      QK_CHECK(std::equal(some.begin(), some.end() - 1, halves.begin() + 9));
      QK_CHECK_EQ(some.back(), 77);
    }
  });
}

}  // namespace
}  // namespace qk
