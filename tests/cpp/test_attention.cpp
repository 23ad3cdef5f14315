// Attention on every ISA that this CPU runs, against double precision: both kinds of cache, every
// remainder of keys, heads that share keys, and results that do not depend on what a row does not
// see.
#include <algorithm>
#include <cmath>
#include <cstdint>
#include <limits>
#include <random>
#include <vector>

#include "check.h"
#include "core/half.h"
#include "dispatch/dispatch.h"
#include "kernel_data.h"
#include "ops/attention.h"
#include "products.h"

namespace qk {
namespace {

using test::Context;
using test::few_shapes;
using test::one_by_one;

struct Shape {
  int64_t group;  // query heads a key head
  int64_t head_dim;
  int64_t tokens;
  int64_t keys;
};

constexpr int64_t kKeyHeads = 2;
constexpr float kNaN = std::numeric_limits<float>::quiet_NaN();

// All tokens at once: on this thread, in one range.
Parallel whole() {
  const auto run = [](void*, int, int64_t n, int64_t, RangeFn fn, void* context) {
    fn(context, 0, n);
  };
  return {run, nullptr, 1};
}

// Random queries, keys and values, and a cache with nothing but NaN where no position is stored.
struct Problem {
  Problem(const KernelTable& table, CacheType type, const Shape& s)
      : kernels(table), shape(s), heads(kKeyHeads * s.group) {
    std::mt19937 random(static_cast<uint32_t>(s.keys * 1000 + s.head_dim));
    std::normal_distribution<float> normal;
    const auto fill = [&](std::vector<float>& values, int64_t count) {
      values.resize(static_cast<size_t>(count));
      for (float& value : values) value = normal(random);
    };
    fill(q, s.tokens * heads * s.head_dim);
    fill(k, s.keys * kKeyHeads * s.head_dim);
    fill(v, s.keys * kKeyHeads * s.head_dim);
    int64_t key_bytes = 0;
    int64_t value_bytes = 0;
    const Status status =
        cache_bytes(type, kKeyHeads, s.head_dim, s.keys, &key_bytes, &value_bytes);
    if (!QK_CHECK_OK(status)) return;
    key_memory = test::Bytes(key_bytes, 0);
    value_memory = test::Bytes(value_bytes, 0);
    std::fill_n(key_memory.data(), key_bytes, uint8_t{0xff});
    std::fill_n(value_memory.data(), value_bytes, uint8_t{0xff});
    cache = {.keys = reinterpret_cast<std::byte*>(key_memory.data()),
             .values = reinterpret_cast<std::byte*>(value_memory.data()),
             .type = type,
             .heads = kKeyHeads,
             .head_dim = s.head_dim};
    store();
  }

  void store() {
    store_cache(kernels, cache, 0, shape.keys, k.data(), v.data(), kKeyHeads * shape.head_dim);
  }

  HeadRows rows(float* out, int64_t width) const {
    return {.q = q.data(),
            .out = out,
            .heads = heads,
            .tokens = shape.tokens,
            .q_token = heads * shape.head_dim,
            .q_head = shape.head_dim,
            .out_token = heads * width,
            .out_head = width};
  }

  std::vector<float> attend(const Parallel& parallel, int64_t first) const {
    std::vector<float> out(q.size(), kNaN);
    attention(parallel, kernels, rows(out.data(), shape.head_dim), cache, first, shape.keys,
              scale());
    return out;
  }

  std::vector<float> scores(int64_t first) const {
    std::vector<float> out(static_cast<size_t>(shape.tokens * heads * shape.keys), kNaN);
    attention_scores(one_by_one(), kernels, rows(out.data(), shape.keys), cache, first, shape.keys,
                     scale());
    return out;
  }

  float scale() const { return 1.0f / std::sqrt(static_cast<float>(shape.head_dim)); }

  // The value that the cache holds of one that was stored.
  double kept(float value) const {
    return static_cast<double>(cache.type == CacheType::kF32 ? value
                                                             : half_to_float(float_to_half(value)));
  }

  // The weights of one row, and with them what attention gives.
  std::vector<double> exact_weights(int64_t token, int64_t head, int64_t first) const;
  std::vector<double> exact_result(int64_t head, const std::vector<double>& weights) const;

  const KernelTable& kernels;
  Shape shape;
  int64_t heads;
  std::vector<float> q;  // (tokens, heads, head_dim)
  std::vector<float> k;  // (keys, key heads, head_dim)
  std::vector<float> v;
  test::Bytes key_memory{0, 0};
  test::Bytes value_memory{0, 0};
  CacheView cache;
};

std::vector<double> Problem::exact_weights(int64_t token, int64_t head, int64_t first) const {
  std::vector<double> weights(static_cast<size_t>(shape.keys), 0.0);
  const int64_t seen = std::min(first + token + 1, shape.keys);
  double most = -std::numeric_limits<double>::infinity();
  for (int64_t t = 0; t < seen; ++t) {
    double sum = 0.0;
    for (int64_t e = 0; e < shape.head_dim; ++e) {
      const auto key =
          static_cast<size_t>((t * kKeyHeads + head / shape.group) * shape.head_dim + e);
      const auto query = static_cast<size_t>((token * heads + head) * shape.head_dim + e);
      sum += static_cast<double>(q[query]) * kept(k[key]);
    }
    weights[static_cast<size_t>(t)] = sum * static_cast<double>(scale());
    most = std::max(most, weights[static_cast<size_t>(t)]);
  }
  double total = 0.0;
  for (int64_t t = 0; t < seen; ++t) {
    double& weight = weights[static_cast<size_t>(t)];
    weight = std::exp(weight - most);
    total += weight;
  }
  for (double& weight : weights) weight /= total;
  return weights;
}

std::vector<double> Problem::exact_result(int64_t head, const std::vector<double>& weights) const {
  std::vector<double> result(static_cast<size_t>(shape.head_dim), 0.0);
  for (int64_t t = 0; t < shape.keys; ++t) {
    const float* value = v.data() + (t * kKeyHeads + head / shape.group) * shape.head_dim;
    for (size_t e = 0; e < result.size(); ++e) {
      result[e] += weights[static_cast<size_t>(t)] * kept(value[e]);
    }
  }
  return result;
}

std::vector<Shape> shapes_to_check() {
  const std::vector<int64_t> all_keys = {1, 15, 16, 17, 63, 64, 65, 200};
  const std::vector<int64_t> some_keys = {1, 17, 65};
  std::vector<Shape> shapes;
  for (const int64_t keys : few_shapes() ? some_keys : all_keys) {
    for (const int64_t group : {1, 3, 8}) {
      for (const int64_t head_dim : {2, 64, 80, 256}) {
        shapes.push_back({group, head_dim, std::min<int64_t>(keys, group == 8 ? 3 : 7), keys});
      }
    }
  }
  return shapes;
}

// Calls body(problem, first) for causal attention and for that of all keys.
template <class Body>
void for_each_problem(Body body) {
  const std::vector<Shape> shapes = shapes_to_check();
  for (int isa = 0; isa < isa_count(); ++isa) {
    const KernelTable& kernels = isa_at(isa);
    if (!cpu_runs(kernels)) continue;
    for (const CacheType type : {CacheType::kF32, CacheType::kF16}) {
      for (const Shape& shape : shapes) {
        const Context context("%s %s group=%d head_dim=%d keys=%d", kernels.isa,
                              type == CacheType::kF32 ? "f32" : "f16",
                              static_cast<int>(shape.group), static_cast<int>(shape.head_dim),
                              static_cast<int>(shape.keys));
        const Problem problem(kernels, type, shape);
        body(problem, shape.keys - shape.tokens);
        body(problem, shape.keys - 1);
      }
    }
  }
}

double distance(const float* actual, const std::vector<double>& exact) {
  double worst = 0.0;
  for (size_t i = 0; i < exact.size(); ++i) {
    worst = std::max(worst, std::fabs(static_cast<double>(actual[i]) - exact[i]));
  }
  return worst;
}

QK_TEST(attention_is_within_rounding_of_double_precision) {
  for_each_problem([](const Problem& problem, int64_t first) {
    const std::vector<float> out = problem.attend(whole(), first);
    for (int64_t row = 0; row < problem.shape.tokens * problem.heads; ++row) {
      const int64_t head = row % problem.heads;
      const auto weights = problem.exact_weights(row / problem.heads, head, first);
      const double worst =
          distance(out.data() + row * problem.shape.head_dim, problem.exact_result(head, weights));
      const Context measured("row %d: %.3g", static_cast<int>(row), worst);
      QK_CHECK(worst <= 5e-6);
    }
  });
}

QK_TEST(scores_sum_to_one_and_are_zero_where_they_are_masked) {
  for_each_problem([](const Problem& problem, int64_t first) {
    if (problem.cache.type != CacheType::kF32) return;
    const std::vector<float> out = problem.scores(first);
    for (int64_t row = 0; row < problem.shape.tokens * problem.heads; ++row) {
      const int64_t token = row / problem.heads;
      const auto weights = problem.exact_weights(token, row % problem.heads, first);
      const float* scores = out.data() + row * problem.shape.keys;
      double sum = 0.0;
      for (int64_t t = 0; t < problem.shape.keys; ++t) {
        sum += static_cast<double>(scores[t]);
        if (t > first + token) QK_CHECK_EQ(bits_of_float(scores[t]), 0u);
      }
      QK_CHECK(std::fabs(sum - 1.0) < 1e-6);
      QK_CHECK(distance(scores, weights) <= 2e-6);
    }
  });
}

// Tiles of one row, of four and of eight take the same steps for each of them.
QK_TEST(a_row_has_the_same_bits_alone_and_beside_others) {
  for_each_problem([](const Problem& problem, int64_t first) {
    QK_CHECK(problem.attend(whole(), first) == problem.attend(one_by_one(), first));
  });
}

QK_TEST(what_a_row_does_not_see_does_not_reach_it) {
  for_each_problem([](const Problem& problem, int64_t first) {
    const int64_t keys = problem.shape.keys;
    if (first == keys - 1 || keys < 2) return;
    const std::vector<float> clean = problem.attend(whole(), first);
    Problem spoilt(problem.kernels, problem.cache.type, problem.shape);
    const int64_t row = kKeyHeads * problem.shape.head_dim;
    std::fill(spoilt.k.end() - row, spoilt.k.end(), kNaN);
    std::fill(spoilt.v.end() - row, spoilt.v.end(), std::numeric_limits<float>::infinity());
    spoilt.store();
    const std::vector<float> out = spoilt.attend(whole(), first);
    const auto last_token = static_cast<int64_t>(out.size()) / problem.shape.tokens;
    QK_CHECK(std::equal(out.begin(), out.end() - last_token, clean.begin()));
    QK_CHECK(std::all_of(out.end() - last_token, out.end(), [](float x) { return std::isnan(x); }));
  });
}

QK_TEST(sizes_that_no_cache_has_are_refused) {
  int64_t keys = 0;
  int64_t values = 0;
  QK_CHECK_FAILS(cache_bytes(CacheType::kF16, 1, 257, 16, &keys, &values), Code::kValue, "257");
  QK_CHECK_FAILS(cache_bytes(CacheType::kF16, 1, 0, 16, &keys, &values), Code::kValue, "1 to 256");
  QK_CHECK_FAILS(cache_bytes(CacheType::kF32, 1 << 20, 256, int64_t{1} << 40, &keys, &values),
                 Code::kValue, "passes 2^63");
}

}  // namespace
}  // namespace qk
