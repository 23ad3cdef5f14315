// The Llama runtime on a small random model: what a sequence of calls does to state, memory and
// bits. Its values are tested from Python, against a float64 forward pass.
#include <algorithm>
#include <atomic>
#include <cmath>
#include <cstdint>
#include <cstdlib>
#include <memory>
#include <span>
#include <vector>

#include "check.h"
#include "core/half.h"
#include "core/pool.h"
#include "dispatch/dispatch.h"
#include "formats/registry.h"
#include "kernel_data.h"
#include "llama/architecture.h"
#include "llama/model.h"
#include "llama/sampler.h"

// The linker sends what this program allocates through these (--wrap, in CMakeLists.txt).
namespace {
std::atomic<int64_t> allocations{0};
}
// The names are the linker's.
// NOLINTBEGIN(bugprone-reserved-identifier,readability-identifier-naming)
extern "C" {
void* __real_aligned_alloc(size_t alignment, size_t size);
void* __wrap_aligned_alloc(size_t alignment, size_t size);
void* __real__Znwm(size_t size);
void* __wrap__Znwm(size_t size);

void* __wrap_aligned_alloc(size_t alignment, size_t size) {
  ++allocations;
  return __real_aligned_alloc(alignment, size);
}
void* __wrap__Znwm(size_t size) {
  ++allocations;
  return __real__Znwm(size);
}
}
// NOLINTEND(bugprone-reserved-identifier,readability-identifier-naming)

namespace qk {
namespace {

using llama::Model;
using llama::Sampler;
using test::Context;
using test::Random;
using test::RandomWeights;

constexpr int64_t kVocabulary = 50;
constexpr int64_t kContext = 40;

// Two layers of q4_1 with an embedding of q8_0, grouped-query heads and odd sizes.
struct SmallModel {
  explicit SmallModel(const KernelTable& kernels, CacheType cache = CacheType::kF16,
                      Act act = Act::kInt16)
      : gains(160, 1.0f) {
    llama::Config config;
    QK_CHECK_OK(llama::find_architecture("llama", &config.architecture));
    config.layers = 2;
    config.width = 96;
    config.hidden = 160;
    config.heads = 6;
    config.kv_heads = 2;
    config.head_dim = 16;
    llama::Weights weights;
    weights.embedding = weights.head = matrix("q8_0", kVocabulary, config.width);
    weights.output_norm = {gains.data(), 96};
    for (int i = 0; i < config.layers; ++i) {
      llama::Layer layer;
      layer.attention_norm = layer.ffn_norm = {gains.data(), 96};
      layer.q = matrix("q4_1", config.q_width(), config.width);
      layer.k = matrix("q4_1", config.kv_width(), config.width);
      layer.v = matrix("q4_1", config.kv_width(), config.width);
      layer.output = matrix("q4_1", config.width, config.q_width());
      layer.gate = matrix("q4_1", config.hidden, config.width);
      layer.up = matrix("q4_1", config.hidden, config.width);
      layer.down = matrix("q4_1", config.width, config.hidden);
      weights.layers.push_back(layer);
    }
    status = Model::make(kernels, config, weights,
                         {.cache = cache, .act = act, .context = kContext}, &model);
  }

  // The logits after each of the tokens, which come in one call.
  std::vector<float> logits(const Parallel& parallel, std::span<const int64_t> tokens) const {
    std::vector<float> out(tokens.size() * kVocabulary);
    QK_CHECK_OK(model->forward(parallel, tokens.data(), static_cast<int64_t>(tokens.size()),
                               Model::Want::kAll, out.data()));
    return out;
  }

  Status status;
  std::unique_ptr<Model> model;

  WeightView matrix(const char* format, int64_t n, int64_t k) {
    matrices.push_back(std::make_unique<RandomWeights>(random, find_format(format), n, k, 0));
    return matrices.back()->view;
  }

  Random random{7};
  std::vector<float> gains;
  std::vector<std::unique_ptr<RandomWeights>> matrices;
};

template <class Body>
void for_each_isa(Body body) {
  for (int isa = 0; isa < isa_count(); ++isa) {
    if (!cpu_runs(isa_at(isa))) continue;
    const Context context("%s", isa_at(isa).isa);
    body(isa_at(isa));
  }
}

bool same_bits(const std::vector<float>& a, const std::vector<float>& b) {
  return std::ranges::equal(a, b,
                            [](float x, float y) { return bits_of_float(x) == bits_of_float(y); });
}

double relative_error(const std::vector<float>& a, const std::vector<float>& b) {
  double difference = 0.0;
  double reference = 0.0;
  for (size_t i = 0; i < a.size(); ++i) {
    difference += std::pow(static_cast<double>(a[i]) - static_cast<double>(b[i]), 2);
    reference += std::pow(static_cast<double>(b[i]), 2);
  }
  return std::sqrt(difference / reference);
}

constexpr int64_t kTokens[] = {3, 49, 0, 7, 7, 12, 31, 44, 5, 9, 21, 2, 17, 8, 40, 1, 33, 6};

QK_TEST(a_prompt_in_one_call_and_token_by_token_give_the_same_logits) {
  for_each_isa([](const KernelTable& kernels) {
    const Parallel parallel = Pool::shared().parallel(2);
    const SmallModel model(kernels, CacheType::kF32, Act::kFloat32);
    QK_REQUIRE_OK(model.status);
    const std::vector<float> at_once = model.logits(parallel, kTokens);
    QK_REQUIRE_OK(model.model->truncate(0));
    std::vector<float> one_by_one;
    for (const int64_t token : kTokens) {
      const std::vector<float> next = model.logits(parallel, {&token, 1});
      one_by_one.insert(one_by_one.end(), next.begin(), next.end());
    }
    QK_CHECK(relative_error(at_once, one_by_one) < 1e-5);
  });
}

QK_TEST(threads_do_not_change_a_bit_and_forgotten_tokens_leave_no_trace) {
  for_each_isa([](const KernelTable& kernels) {
    const SmallModel model(kernels);
    QK_REQUIRE_OK(model.status);
    const std::vector<float> alone = model.logits(Pool::shared().parallel(1), kTokens);
    for (const int threads : {1, 2, 5}) {
      const Parallel parallel = Pool::shared().parallel(threads);
      QK_REQUIRE_OK(model.model->truncate(0));
      model.logits(parallel, std::span(kTokens).last(7));
      QK_REQUIRE_OK(model.model->truncate(0));
      QK_CHECK(same_bits(model.logits(parallel, kTokens), alone));
    }
  });
}

QK_TEST(a_token_allocates_nothing) {
  const SmallModel model(current_kernels());
  QK_REQUIRE_OK(model.status);
  Sampler sampler;
  QK_REQUIRE_OK(
      Sampler::make({.temperature = 0.8f, .top_k = 10, .repetition_penalty = 1.1f}, &sampler));
  const Parallel parallel = Pool::shared().parallel(2);
  std::vector<float> logits(kVocabulary);
  const auto step = [&](int64_t token) {
    int32_t next = 0;
    QK_CHECK_OK(model.model->forward(parallel, &token, 1, Model::Want::kLast, logits.data()));
    QK_CHECK_OK(sampler.choose(logits.data(), kVocabulary, &next));
    sampler.accept(next);
    return static_cast<int64_t>(next);
  };
  int64_t token = step(step(1));  // threads start, and the sampler takes its memory
  const int64_t before = allocations;
  QK_CHECK(before > 0);  // the count works
  for (int i = 0; i < 20; ++i) token = step(token);
  QK_CHECK_EQ(allocations.load(), before);
}

QK_TEST(what_is_wrong_with_a_call_is_said_and_changes_nothing) {
  const SmallModel model(current_kernels());
  QK_REQUIRE_OK(model.status);
  const Parallel parallel = Pool::shared().parallel(1);
  const std::vector<float> expected = model.logits(parallel, std::span(kTokens).first(2));
  std::vector<float> logits(kVocabulary * kContext);
  const auto forward = [&](const std::vector<int64_t>& tokens) {
    return model.model->forward(parallel, tokens.data(), static_cast<int64_t>(tokens.size()),
                                Model::Want::kAll, logits.data());
  };
  QK_CHECK_FAILS(forward({}), Code::kValue, "0 tokens at once");
  QK_CHECK_FAILS(forward({1, kVocabulary}), Code::kValue, "token 50 is not an id below 50");
  QK_CHECK_FAILS(forward({-1}), Code::kValue, "token -1");
  QK_CHECK_FAILS(forward(std::vector<int64_t>(kContext - 1, 0)), Code::kValue,
                 "2 + 39 tokens exceed the context of 40");
  QK_CHECK_FAILS(model.model->truncate(3), Code::kValue, "position 3 is outside the 2 tokens");
  QK_CHECK_FAILS(model.model->truncate(-1), Code::kValue, "position -1");
  QK_CHECK_EQ(model.model->position(), 2);
  QK_REQUIRE_OK(model.model->truncate(0));
  QK_CHECK(same_bits(model.logits(parallel, std::span(kTokens).first(2)), expected));
}

QK_TEST(sizes_that_do_not_fit_together_are_refused) {
  std::unique_ptr<Model> model;
  llama::Config config;
  const auto make = [&] {
    return Model::make(current_kernels(), config, {}, {.context = 8}, &model);
  };
  QK_CHECK_FAILS(make(), Code::kValue, "no architecture is given");
  QK_REQUIRE_OK(llama::find_architecture("llama", &config.architecture));
  QK_CHECK_FAILS(make(), Code::kValue, "layers is 0");
  config.layers = config.width = config.hidden = 1;
  config.heads = 3;
  config.kv_heads = 2;
  config.head_dim = 4;
  QK_CHECK_FAILS(make(), Code::kValue, "3 heads do not share 2 key heads");
  config.kv_heads = 1;
  config.head_dim = 3;
  QK_CHECK_FAILS(make(), Code::kValue, "heads of 3 values");
  config.head_dim = 4;
  QK_CHECK_FAILS(make(), Code::kValue, "the weights are of 0 layers, expected 1");
  config.width = int64_t{1} << 40;
  QK_CHECK_FAILS(make(), Code::kValue, "width is 1099511627776");
}

QK_TEST(greedy_takes_the_first_largest_and_refuses_nan) {
  Sampler sampler;
  QK_REQUIRE_OK(Sampler::make({}, &sampler));
  std::vector<float> logits(40, -1.0f);
  int32_t token = -1;
  logits[37] = logits[39] = 2.0f;
  QK_REQUIRE_OK(sampler.choose(logits.data(), 40, &token));
  QK_CHECK_EQ(token, 37);
  for (const size_t at : {size_t{0}, size_t{20}, size_t{39}}) {
    std::vector<float> wrong = logits;
    wrong[at] = std::nanf("");
    QK_CHECK_FAILS(sampler.choose(wrong.data(), 40, &token), Code::kValue, "NaN");
  }
}

}  // namespace
}  // namespace qk
