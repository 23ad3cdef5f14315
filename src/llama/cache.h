// The keys and values of every token so far, for all layers: reserved once, touched as it is used.
#pragma once

#include "core/aligned.h"
#include "llama/config.h"
#include "ops/attention.h"

namespace qk::llama {

class Cache {
 public:
  // Reserves addresses for `positions`; the system provides memory when a page is first written.
  Status reserve(const Config& config, CacheType type, int64_t positions);

  CacheView layer(int64_t index) const;

  // The bytes that the tokens before `position` take, in all layers.
  int64_t bytes_before(int64_t position) const;

 private:
  AlignedBuffer memory_;
  CacheView shape_;  // of every layer; its pointers are null
  int64_t layers_ = 0;
  int64_t key_bytes_ = 0;  // of a layer
  int64_t value_bytes_ = 0;
  int64_t positions_ = 0;
};

}  // namespace qk::llama
