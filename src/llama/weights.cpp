#include "llama/weights.h"

#include <initializer_list>

namespace qk::llama {
namespace {

Status check_matrix(const WeightView& weights, const char* name, int64_t layer, int64_t n,
                    int64_t k) {
  if (weights.experts == 1 && weights.n == n && weights.k == k) return {};
  return Status::value_error("layer %lld: %s has shape (%lld, %lld), expected (%lld, %lld)",
                             static_cast<long long>(layer), name, static_cast<long long>(weights.n),
                             static_cast<long long>(weights.k), static_cast<long long>(n),
                             static_cast<long long>(k));
}

int64_t bytes(const WeightView& weights) { return weights.n * weights.row_stride; }

}  // namespace

Status check_weights(const Config& config, const Weights& weights) {
  const int64_t width = config.width;
  const auto layers = static_cast<int64_t>(weights.layers.size());
  if (layers != config.layers) {
    return Status::value_error("the weights are of %lld layers, expected %lld",
                               static_cast<long long>(layers),
                               static_cast<long long>(config.layers));
  }
  for (std::size_t i = 0; i < weights.layers.size(); ++i) {
    const Layer& layer = weights.layers[i];
    const auto at = static_cast<int64_t>(i);
    QK_TRY(check_matrix(layer.q, "attn_q", at, config.q_width(), width));
    QK_TRY(check_matrix(layer.k, "attn_k", at, config.kv_width(), width));
    QK_TRY(check_matrix(layer.v, "attn_v", at, config.kv_width(), width));
    QK_TRY(check_matrix(layer.output, "attn_output", at, width, config.q_width()));
    QK_TRY(check_matrix(layer.gate, "ffn_gate", at, config.hidden, width));
    QK_TRY(check_matrix(layer.up, "ffn_up", at, config.hidden, width));
    QK_TRY(check_matrix(layer.down, "ffn_down", at, width, config.hidden));
  }
  const int64_t vocabulary = weights.embedding.n;
  if (weights.embedding.k != width || weights.head.k != width || weights.head.n != vocabulary) {
    return Status::value_error(
        "the embedding has shape (%lld, %lld) and the head (%lld, %lld), expected both (n, %lld)",
        static_cast<long long>(vocabulary), static_cast<long long>(weights.embedding.k),
        static_cast<long long>(weights.head.n), static_cast<long long>(weights.head.k),
        static_cast<long long>(width));
  }
  return {};
}

int64_t bytes_of_a_token(const Weights& weights) {
  int64_t total = bytes(weights.head);
  for (const Layer& layer : weights.layers) {
    for (const WeightView* matrix :
         {&layer.q, &layer.k, &layer.v, &layer.output, &layer.gate, &layer.up, &layer.down}) {
      total += bytes(*matrix);
    }
  }
  return total;
}

}  // namespace qk::llama
