#include "llama/weights.h"

#include <initializer_list>

namespace qk::llama {
namespace {

Status check_matrix(const WeightView& weights, const char* name, int64_t layer, int64_t n,
                    int64_t k) {
  if (weights.ndim == 2 && weights.n == n && weights.k == k) return {};
  return Status::value_error("layer %lld: %s has shape (%lld, %lld), expected (%lld, %lld)",
                             static_cast<long long>(layer), name, static_cast<long long>(weights.n),
                             static_cast<long long>(weights.k), static_cast<long long>(n),
                             static_cast<long long>(k));
}

Status check_layer(const Config& config, const Layer& layer, int64_t index) {
  struct Matrix {
    const char* name;
    const WeightView& weights;
    int64_t n;
    int64_t k;
  };
  for (const Matrix& matrix : {Matrix{"attn_q", layer.q, config.q_width(), config.width},
                               Matrix{"attn_k", layer.k, config.kv_width(), config.width},
                               Matrix{"attn_v", layer.v, config.kv_width(), config.width},
                               Matrix{"attn_output", layer.output, config.width, config.q_width()},
                               Matrix{"ffn_gate", layer.gate, config.hidden, config.width},
                               Matrix{"ffn_up", layer.up, config.hidden, config.width},
                               Matrix{"ffn_down", layer.down, config.width, config.hidden}}) {
    QK_TRY(check_matrix(matrix.weights, matrix.name, index, matrix.n, matrix.k));
  }
  return {};
}

int64_t bytes(const WeightView& weights) { return weights.n * weights.row_stride; }

}  // namespace

Status check_weights(const Config& config, const Weights& weights) {
  const auto layers = static_cast<int64_t>(weights.layers.size());
  if (layers != config.layers) {
    return Status::value_error("the weights are of %lld layers, expected %lld",
                               static_cast<long long>(layers),
                               static_cast<long long>(config.layers));
  }
  for (int64_t i = 0; i < layers; ++i) {
    QK_TRY(check_layer(config, weights.layers[static_cast<std::size_t>(i)], i));
  }
  const WeightView& embedding = weights.embedding;
  const WeightView& head = weights.head;
  if (embedding.ndim != 2 || head.ndim != 2 || embedding.k != config.width ||
      head.k != config.width || head.n != embedding.n) {
    return Status::value_error(
        "the embedding has shape (%lld, %lld) and the head (%lld, %lld), expected both (n, %lld)",
        static_cast<long long>(embedding.n), static_cast<long long>(embedding.k),
        static_cast<long long>(head.n), static_cast<long long>(head.k),
        static_cast<long long>(config.width));
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
