// The memory that a forward pass works in: made once, for the largest batch.
#pragma once

#include "core/aligned.h"
#include "kernels/activation_unit.h"
#include "llama/config.h"

namespace qk::llama {

// Rows of floats, one a token, in memory that a Workspace owns.
struct Rows {
  float* data = nullptr;
  int64_t stride = 0;

  float* row(int64_t i) const { return data + i * stride; }
};

struct Workspace {
  Rows x;         // (batch, width): what layers add to
  Rows q;         // (batch, heads * head_dim)
  Rows k;         // (batch, kv_heads * head_dim)
  Rows v;         // the same
  Rows attended;  // as q
  Rows gate;      // (batch, hidden)
  Rows up;        // (batch, hidden)
  Rows sincos;    // (batch, head_dim): cosine and sine of each pair
  std::byte* activations = nullptr;
  AlignedBuffer memory;

  // Reserves room for `batch` tokens, and for activations of any `act`.
  Status reserve(const Config& config, int64_t batch);
};

}  // namespace qk::llama
