// Every format, kind of activations and ISA that this CPU runs, through the operators of ops/.
//
// The lists of formats and ISAs are walked by index, so a new one is tested by being there.
#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <map>
#include <string>
#include <vector>

#include "check.h"
#include "core/aligned.h"
#include "core/half.h"
#include "core/pool.h"
#include "dispatch/dispatch.h"
#include "formats/registry.h"
#include "kernel_data.h"
#include "ops/activations.h"
#include "ops/decode.h"
#include "ops/linear.h"
#include "ops/shapes.h"

namespace qk {
namespace {

using test::Bytes;
using test::Context;
using test::Random;
using test::RandomActivations;
using test::RandomWeights;

constexpr uint32_t kUnwritten = 0x7fdeadbeu;  // a NaN that no arithmetic makes
constexpr int64_t kGap = 3;                   // floats between the batch rows of a result

// Calls body(kernels, format, act) for all there are. Float weights take float activations only.
template <class Body>
void for_each_kernel(Body body) {
  for (int isa = 0; isa < isa_count(); ++isa) {
    const KernelTable& kernels = isa_at(isa);
    if (!cpu_runs(kernels)) continue;
    for (int format = 0; format < format_count(); ++format) {
      for (int a = 0; a < kActs; ++a) {
        const Act act = static_cast<Act>(a);
        if (effective_act(format, act) != act) continue;
        const Context context("%s %s %s", kernels.isa, format_at(format).info.name, act_name(act));
        body(kernels, format, act);
      }
    }
  }
}

// One thread, one row at a time, the last one first.
Parallel one_by_one() {
  const auto run = [](void*, int, int64_t n, int64_t, RangeFn fn, void* context) {
    for (int64_t i = n - 1; i >= 0; --i) fn(context, i, i + 1);
  };
  return {run, nullptr, 1};
}

struct Product {
  Status status;
  int64_t n;
  std::vector<float> out;  // rows of n, kGap apart, and nothing after the last

  explicit Product(int64_t rows, int64_t m)
      : n(rows),
        out(static_cast<size_t>(std::max<int64_t>(m * (n + kGap) - kGap, 0)),
            float_of_bits(kUnwritten)) {}
  float at(int64_t j, int64_t i) const { return out[static_cast<size_t>(j * (n + kGap) + i)]; }
  bool written(int64_t index) const {
    return bits_of_float(out[static_cast<size_t>(index)]) != kUnwritten;
  }
  bool is_complete() const {
    const auto size = static_cast<int64_t>(out.size());
    for (int64_t index = 0; index < size; ++index) {
      if (written(index) != (index % (n + kGap) < n)) return false;
    }
    return true;
  }
  bool is_untouched() const {
    return std::ranges::all_of(out, [](float v) { return bits_of_float(v) == kUnwritten; });
  }
  bool same_bits(const Product& other) const {
    return out.size() == other.out.size() &&
           (out.empty() || std::memcmp(out.data(), other.out.data(), out.size() * 4) == 0);
  }
};

Product multiply(const Parallel& parallel, const KernelTable& kernels, const WeightView& weights,
                 const ArrayView& x, Act act, const float* bias = nullptr) {
  Product product(weights.n, x.shape[0]);
  int64_t bytes = 0;
  AlignedBuffer memory;
  ActivationsView activations;
  product.status = activations_bytes(act, x.shape[0], x.shape[1], &bytes);
  if (product.status.ok()) product.status = memory.reserve(bytes);
  if (product.status.ok()) {
    product.status = quantize_activations(parallel, kernels, x, act, memory.data(), &activations);
  }
  if (product.status.ok()) {
    product.status =
        linear(parallel, weights, activations, bias, product.out.data(), weights.n + kGap);
  }
  return product;
}

double bound_of(Act act) {
  switch (act) {
    case Act::kInt16: return 1e-4;
    case Act::kFloat32: return 2e-6;
    case Act::kInt8: return 2e-2;
  }
  return 0.0;
}

// A relative error over many outputs, since a single one may cancel.
struct Error {
  double difference = 0.0;
  double reference = 0.0;
  int64_t outputs = 0;

  void add(double actual, double expected) {
    difference += (actual - expected) * (actual - expected);
    reference += expected * expected;
    ++outputs;
  }
  double relative() const { return std::sqrt(difference / reference); }
};

struct Shapes {
  std::vector<int64_t> n;
  std::vector<int64_t> k;
  std::vector<int64_t> m;
};

// Fewer when QK_TEST_FEW_SHAPES is set, where an emulator makes each of them slow.
Shapes shapes_to_check() {
  // NOLINTNEXTLINE(concurrency-mt-unsafe): nothing sets it
  if (std::getenv("QK_TEST_FEW_SHAPES") != nullptr) return {{3, 17}, {1, 100, 256, 576}, {1, 5}};
  return {{1, 3, 17}, {1, 32, 100, 256, 288, 576}, {1, 2, 5}};
}

// The error of one kernel and shape, which is checked against its bound.
double check_shape(Random& random, const KernelTable& kernels, int format, Act act, int64_t n,
                   int64_t k, int64_t m) {
  const Context context("n=%d k=%d m=%d", static_cast<int>(n), static_cast<int>(k),
                        static_cast<int>(m));
  constexpr int64_t kOutputs = 256;
  Error error;
  for (int shift = 0; error.outputs < kOutputs; shift = 1 - shift) {
    const RandomWeights weights(random, format, n, k, shift);
    const RandomActivations x(random, m, k, shift);
    const std::vector<double> exact = exact_product(weights, x);
    const Product product =
        multiply(Pool::shared().parallel(2), kernels, weights.view, x.view, act);
    if (!QK_CHECK_OK(product.status) || !QK_CHECK(product.is_complete())) return 0.0;
    for (int64_t j = 0; j < m; ++j) {
      for (int64_t i = 0; i < n; ++i) {
        error.add(static_cast<double>(product.at(j, i)), exact[static_cast<size_t>(j * n + i)]);
      }
    }
  }
  const Context measured("relative error %.3g, bound %.3g", error.relative(), bound_of(act));
  QK_CHECK(error.relative() < bound_of(act));
  return error.relative();
}

QK_TEST(every_kernel_is_within_the_bound_of_its_activations) {
  Random random(1);
  const Shapes shapes = shapes_to_check();
  std::map<std::string, double> worst;
  for_each_kernel([&](const KernelTable& kernels, int format, Act act) {
    double& error = worst[std::string(kernels.isa) + " " + act_name(act)];
    for (const int64_t n : shapes.n) {
      for (const int64_t k : shapes.k) {
        for (const int64_t m : shapes.m) {
          error = std::max(error, check_shape(random, kernels, format, act, n, k, m));
        }
      }
    }
  });
  for (const auto& [kernel, error] : worst) {
    std::printf("  worst error of %s: %.2g\n", kernel.c_str(), error);
  }
}

QK_TEST(threads_and_the_split_of_rows_do_not_change_a_bit) {
  Random random(2);
  for_each_kernel([&](const KernelTable& kernels, int format, Act act) {
    for (const int64_t m : {1, 5}) {
      const RandomWeights weights(random, format, 389, 576, 1);
      const RandomActivations x(random, m, 576, 0);
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
    const RandomActivations x(random, 2, 288, 0);
    const Product whole = multiply(one_by_one(), kernels, weights.view, x.view, act);
    WeightView slice = weights.view;
    slice.data += 2 * slice.row_stride;
    slice.row_stride *= 3;
    slice.n = 3;
    const Product part = multiply(one_by_one(), kernels, slice, x.view, act);
    for (int64_t j = 0; j < 2; ++j) {
      for (int64_t i = 0; i < 3; ++i) {
        QK_CHECK_EQ(bits_of_float(part.at(j, i)), bits_of_float(whole.at(j, 2 + 3 * i)));
      }
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
    experts.experts = 2;
    const Product expert = multiply(parallel, kernels, experts, x.view, act);
    QK_CHECK_FAILS(expert.status, Code::kValue, "2 experts");
    QK_CHECK(expert.is_untouched());

    if (!format_at(format).is_float) return;
    const Product integer = multiply(parallel, kernels, weights.view, x.view, Act::kInt16);
    QK_CHECK_FAILS(integer.status, Code::kValue, "float32 activations");
    QK_CHECK(integer.is_untouched());
  });
}

void check_decoded(const KernelTable& kernels, const RandomWeights& weights, int shift) {
  const int64_t count = weights.view.n * weights.view.k;
  const Bytes memory(count * 4, shift);
  ArrayView out;
  out.data = memory.data();
  out.type = ScalarType::kF32;
  out.writable = true;
  out.ndim = 2;
  out.shape[0] = weights.view.n;
  out.shape[1] = weights.view.k;
  out.strides[0] = weights.view.k * 4;
  out.strides[1] = 4;
  QK_REQUIRE_OK(dequantize(Pool::shared().parallel(2), kernels, weights.view, out));
  for (int64_t i = 0; i < count; ++i) {
    float value = 0.0f;
    std::memcpy(&value, memory.data() + i * 4, 4);
    const auto expected = static_cast<float>(weights.values[static_cast<size_t>(i)]);
    QK_CHECK_EQ(bits_of_float(value), bits_of_float(expected));
  }
}

QK_TEST(every_isa_decodes_to_the_bits_of_the_formats_own_decode) {
  Random random(7);
  for_each_kernel([&](const KernelTable& kernels, int format, Act act) {
    if (effective_act(format, Act::kInt16) != act) return;  // decoding has no activations
    for (const int64_t k : {1, 32, 100, 256, 288, 5000}) {
      for (const int shift : {0, 1}) {
        const Context context("k=%d shift=%d", static_cast<int>(k), shift);
        check_decoded(kernels, RandomWeights(random, format, 3, k, shift), shift);
      }
    }
  });
}

}  // namespace
}  // namespace qk
