// What a Llama forward pass must know beside the weights.
#pragma once

#include <cstdint>

#include "core/status.h"

namespace qk::llama {

struct Architecture;  // llama/architecture.h

// A row of the query projection holds `heads` heads of head_dim values, a row of the key and the
// value projection kv_heads of them: query head h reads key head h / (heads / kv_heads).
struct Config {
  const Architecture* architecture = nullptr;
  int64_t layers = 0;
  int64_t width = 0;
  int64_t hidden = 0;
  int64_t heads = 0;
  int64_t kv_heads = 0;
  int64_t head_dim = 0;
  float epsilon = 1e-5f;  // of every RMSNorm
  double rope_base = 10000.0;
  double rope_scale = 1.0;  // what positions are divided by

  int64_t q_width() const { return heads * head_dim; }
  int64_t kv_width() const { return kv_heads * head_dim; }
};

// ValueError for what no forward pass has: no architecture, sizes that are not positive, heads that
// kv_heads does not divide, odd heads.
Status check_config(const Config& config);

}  // namespace qk::llama
