// Choosing the next token from logits. Takes no more memory after its first choice.
#pragma once

#include <cstdint>
#include <vector>

#include "core/status.h"

namespace qk::llama {

// The steps follow llama.cpp's sampling chain: the penalty, top_k, top_p, min_p, and last the
// temperature.
struct SamplerOptions {
  double temperature = 0.0;         // 0 takes the most likely token
  int64_t top_k = 0;                // candidates kept; 0 keeps all
  double top_p = 1.0;               // the likeliest that together reach this probability
  double min_p = 0.0;               // those at least this fraction of the likeliest one's
  double repetition_penalty = 1.0;  // divides a positive logit and multiplies a negative one
  int64_t repeat_last = 64;         // tokens that the penalty looks back on
  uint64_t seed = 0;
};

class Sampler {
 public:
  // ValueError for options out of range, with their values.
  static Status make(const SamplerOptions& options, Sampler* out);

  // The next token; ValueError where logits hold a NaN. `logits` are not changed.
  Status choose(const float* logits, int64_t count, int32_t* token);

  // Enters a token into the window of the penalty.
  void accept(int32_t token);

 private:
  struct Candidate {
    float logit;
    int32_t token;
  };

  const float* penalised(const float* logits, int64_t count);
  void keep_largest(const float* logits, int64_t count);
  void keep_probable();
  int32_t draw();
  double uniform();

  SamplerOptions options_;
  uint64_t state_ = 0;
  std::vector<int32_t> window_;  // the last tokens, a ring
  int64_t accepted_ = 0;
  std::vector<float> logits_;
  std::vector<Candidate> candidates_;
  std::vector<double> weights_;
};

}  // namespace qk::llama
