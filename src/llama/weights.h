// The weights of a model: views of a file's blocks, or of panels. Nothing here owns or copies them.
#pragma once

#include <cstddef>
#include <vector>

#include "core/status.h"
#include "core/views.h"
#include "llama/config.h"

namespace qk::llama {

// Vectors are float32; those that a model lacks are null.
struct Layer {
  const float* attention_norm = nullptr;  // (width)
  WeightView q;                           // (heads * head_dim, width)
  WeightView k;                           // (kv_heads * head_dim, width)
  WeightView v;                           // the same
  const float* q_bias = nullptr;
  const float* k_bias = nullptr;
  const float* v_bias = nullptr;
  const float* q_norm = nullptr;  // (head_dim), of every head
  const float* k_norm = nullptr;
  WeightView output;                // (width, heads * head_dim)
  const float* ffn_norm = nullptr;  // (width)
  WeightView gate;                  // (hidden, width)
  WeightView up;                    // (hidden, width)
  WeightView down;                  // (width, hidden)
};

struct Weights {
  WeightView embedding;  // (vocabulary, width)
  std::vector<Layer> layers;
  const float* output_norm = nullptr;  // (width)
  WeightView head;                     // (vocabulary, width), which may be the embedding
};

// ValueError where a matrix does not have the shape that the configuration gives it.
Status check_weights(const Config& config, const Weights& weights);

// The bytes of weights that one decoded token reads: all but the embedding, of which it reads a
// row.
int64_t bytes_of_a_token(const Weights& weights);

}  // namespace qk::llama
