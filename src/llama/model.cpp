#include "llama/model.h"

#include <algorithm>
#include <cmath>
#include <utility>

#include "core/array.h"
#include "core/fp_environment.h"
#include "llama/architecture.h"
#include "ops/activations.h"
#include "ops/attention.h"
#include "ops/decode.h"
#include "ops/linear.h"
#include "ops/shapes.h"

namespace qk::llama {
namespace {

ArrayView array_of(const Rows& rows, int64_t m, int64_t k) {
  return view_rows(rows.data, m, k, rows.stride);
}

Product product(const WeightView& weights, const Rows& out, std::span<const float> bias = {}) {
  return {.weights = &weights, .out = out.data, .out_stride = out.stride, .bias = bias.data()};
}

// What adds to the rows that are there.
Product added(const WeightView& weights, const Rows& out) {
  return {.weights = &weights,
          .out = out.data,
          .out_stride = out.stride,
          .bias = out.data,
          .bias_stride = out.stride};
}

}  // namespace

Status Model::make(const KernelTable& kernels, const Config& config, Weights weights,
                   const Options& options, std::unique_ptr<Model>* out) {
  QK_TRY(check_config(config));
  QK_TRY(check_weights(config, weights));
  if (options.context < 1) {
    return Status::value_error("a context of %lld tokens, expected 1 or more", ll(options.context));
  }
  const FpEnvironment environment;
  std::unique_ptr<Model> model(new Model(kernels, config, std::move(weights), options));
  model->frequencies_.resize(static_cast<size_t>(config.head_dim / 2));
  model->rope_ = {.kind = config.architecture->rope,
                  .base = config.rope_base,
                  .scale = config.rope_scale,
                  .factors = model->weights_.rope_factors.data()};
  rope_frequencies(model->rope_, config.head_dim, model->frequencies_.data());
  QK_TRY(model->cache_.reserve(config, options.cache, options.context));
  QK_TRY(model->work_.reserve(config, std::min(kBatch, options.context)));
  *out = std::move(model);
  return {};
}

Status Model::forward(const Parallel& parallel, const int64_t* tokens, int64_t count, Want want,
                      float* logits) {
  const FpEnvironment environment;
  QK_TRY(check(tokens, count));
  const Pass pass{parallel, position_, count};
  profile_.start();
  QK_TRY(embed(pass, tokens));
  for (int64_t i = 0; i < config_.layers; ++i) {
    QK_TRY(attend(pass, i));
    QK_TRY(feed_forward(pass, weights_.layers[static_cast<size_t>(i)]));
  }
  if (want != Want::kNone) QK_TRY(score(pass, want, logits));
  position_ += count;
  return {};
}

Status Model::truncate(int64_t position) {
  if (position < 0 || position > position_) {
    return Status::value_error("position %lld is outside the %lld tokens of the sequence",
                               ll(position), ll(position_));
  }
  position_ = position;
  return {};
}

Status Model::check(const int64_t* tokens, int64_t count) const {
  if (count < 1 || count > kBatch) {
    return Status::value_error("%lld tokens at once, expected 1 to %lld", ll(count), ll(kBatch));
  }
  for (int64_t i = 0; i < count; ++i) {
    if (tokens[i] >= 0 && tokens[i] < vocabulary()) continue;
    return Status::value_error("token %lld is not an id below %lld", ll(tokens[i]),
                               ll(vocabulary()));
  }
  if (count > options_.context - position_) {
    return Status::value_error("%lld + %lld tokens exceed the context of %lld", ll(position_),
                               ll(count), ll(options_.context));
  }
  return {};
}

// x = the embedding of each token, and the sine and cosine of each pair at each position.
Status Model::embed(const Pass& pass, const int64_t* tokens) {
  QK_TRY(get_rows(pass.parallel, kernels_, weights_.embedding, tokens, pass.count,
                  array_of(work_.x, pass.count, config_.width)));
  for (int64_t t = 0; t < pass.count; ++t) {
    rope_sincos(frequencies_.data(), config_.head_dim / 2, pass.first + t, work_.sincos.row(t));
  }
  profile_.lap(Stage::kEmbedding);
  return {};
}

// x += attention(norm(x)): one product for queries, keys and values, RoPE, the cache, one pass over
// it, and the output product.
Status Model::attend(const Pass& pass, int64_t index) {
  const Layer& layer = weights_.layers[static_cast<size_t>(index)];
  const Act act = common_act({&layer.q, &layer.k, &layer.v}, options_.act);
  ActivationsView x;
  QK_TRY(
      quantize(pass.parallel, work_.x, pass.count, config_.width, act, layer.attention_norm, &x));
  const Product products[] = {product(layer.q, work_.q, layer.q_bias),
                              product(layer.k, work_.k, layer.k_bias),
                              product(layer.v, work_.v, layer.v_bias)};
  QK_TRY(linear(pass.parallel, kernels_, x, products, 3));
  profile_.lap(Stage::kQkv);

  const CacheView cache = cache_.layer(index);
  place(pass, layer, cache);
  profile_.lap(Stage::kRope);

  const HeadRows rows{.q = work_.q.data,
                      .out = work_.attended.data,
                      .heads = config_.heads,
                      .tokens = pass.count,
                      .q_token = work_.q.stride,
                      .q_head = config_.head_dim,
                      .out_token = work_.attended.stride,
                      .out_head = config_.head_dim};
  const float scale = 1.0f / std::sqrt(static_cast<float>(config_.head_dim));
  attention(pass.parallel, kernels_, rows, cache, pass.first, pass.first + pass.count, scale);
  profile_.lap(Stage::kAttention);

  QK_TRY(quantize(pass.parallel, work_.attended, pass.count, config_.q_width(),
                  common_act({&layer.output}, options_.act), {}, &x));
  QK_TRY(linear(pass.parallel, kernels_, x, added(layer.output, work_.x)));
  profile_.lap(Stage::kOutput);
  return {};
}

// Queries and keys are normalised head by head where the model does so, and rotated; keys and values
// enter the cache.
void Model::place(const Pass& pass, const Layer& layer, const CacheView& cache) {
  const int64_t dim = config_.head_dim;
  const auto finish = [&](float* x, int64_t heads, std::span<const float> gains,
                          const float* sincos) {
    for (int64_t head = 0; !gains.empty() && head < heads; ++head) {
      float* values = x + head * dim;
      const float mean = kernels_.dense->sum_squares(values, dim) / static_cast<float>(dim);
      kernels_.dense->normalise(values, 1.0f / std::sqrt(mean + config_.epsilon), gains.data(), dim,
                                values);
    }
    rotate(rope_.kind, dim, sincos, heads, x);
  };
  auto body = [&](int64_t begin, int64_t end) {
    for (int64_t t = begin; t < end; ++t) {
      finish(work_.q.row(t), config_.heads, layer.q_norm, work_.sincos.row(t));
      finish(work_.k.row(t), config_.kv_heads, layer.k_norm, work_.sincos.row(t));
    }
    store_cache(kernels_, cache, pass.first + begin, end - begin, work_.k.row(begin),
                work_.v.row(begin), work_.k.stride);
  };
  constexpr int64_t kGrainTokens = 8;  // some microseconds of work
  pass.parallel(pass.count, kGrainTokens, body);
}

// x += down(silu(gate(norm(x))) * up(norm(x)))
Status Model::feed_forward(const Pass& pass, const Layer& layer) {
  const Act act = common_act({&layer.gate, &layer.up}, options_.act);
  ActivationsView x;
  QK_TRY(quantize(pass.parallel, work_.x, pass.count, config_.width, act, layer.ffn_norm, &x));
  QK_TRY(gated(pass.parallel, kernels_, x, product(layer.gate, work_.gate),
               product(layer.up, work_.up)));
  profile_.lap(Stage::kGateUp);
  QK_TRY(quantize(pass.parallel, work_.gate, pass.count, config_.hidden,
                  common_act({&layer.down}, options_.act), {}, &x));
  QK_TRY(linear(pass.parallel, kernels_, x, added(layer.down, work_.x)));
  profile_.lap(Stage::kDown);
  return {};
}

Status Model::score(const Pass& pass, Want want, float* logits) {
  const int64_t first = want == Want::kAll ? 0 : pass.count - 1;
  const Rows rows{work_.x.row(first), work_.x.stride};
  ActivationsView x;
  QK_TRY(quantize(pass.parallel, rows, pass.count - first, config_.width,
                  common_act({&weights_.output()}, options_.act), weights_.output_norm, &x));
  QK_TRY(linear(pass.parallel, kernels_, x, product(weights_.output(), {logits, vocabulary()})));
  profile_.lap(Stage::kHead);
  return {};
}

// Quantises m rows of k values, normalised with `gains` where there are any.
Status Model::quantize(const Parallel& parallel, const Rows& x, int64_t m, int64_t k, Act act,
                       std::span<const float> gains, ActivationsView* out) {
  const RmsNorm norm{gains.data(), config_.epsilon};
  return quantize_activations(parallel, kernels_, array_of(x, m, k), act, work_.activations, out,
                              !gains.empty() ? &norm : nullptr);
}

}  // namespace qk::llama
