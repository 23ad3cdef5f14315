// The weights of a model: views of a file's blocks, or of panels. Nothing here owns or copies them.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "core/status.h"
#include "core/views.h"
#include "llama/config.h"

namespace qk::llama {

// A vector that a model lacks is empty. llama/architecture.h knows the shapes.
struct Layer {
  std::span<const float> attention_norm;
  WeightView q;
  WeightView k;
  WeightView v;
  std::span<const float> q_bias;
  std::span<const float> k_bias;
  std::span<const float> v_bias;
  std::span<const float> q_norm;  // of every head
  std::span<const float> k_norm;
  WeightView output;
  std::span<const float> ffn_norm;
  WeightView gate;
  WeightView up;
  WeightView down;
};

struct Weights {
  WeightView embedding;
  std::vector<Layer> layers;
  std::span<const float> output_norm;
  WeightView head;  // without data where it is the embedding
  std::span<const float> rope_factors;

  // The matrix that makes logits.
  const WeightView& output() const { return head.data != nullptr ? head : embedding; }
};

// ValueError where a tensor of the architecture is missing, or does not have the shape that the
// configuration gives it.
Status check_weights(const Config& config, const Weights& weights);

// The bytes of weights that one decoded token reads: all but the embedding, of which it reads a
// row.
int64_t bytes_of_a_token(const Config& config, const Weights& weights);

}  // namespace qk::llama
