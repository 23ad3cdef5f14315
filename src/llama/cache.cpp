#include "llama/cache.h"

#include "core/checked.h"

namespace qk::llama {

Status Cache::reserve(const Config& config, CacheType type, int64_t positions) {
  shape_ = {.type = type, .heads = config.kv_heads, .head_dim = config.head_dim};
  layers_ = config.layers;
  positions_ = positions;
  QK_TRY(
      cache_bytes(type, config.kv_heads, config.head_dim, positions, &key_bytes_, &value_bytes_));
  int64_t layer = 0;
  int64_t total = 0;
  if (!checked_round_up(key_bytes_, kCacheLine, &key_bytes_) ||
      !checked_round_up(value_bytes_, kCacheLine, &value_bytes_) ||
      !checked_add(key_bytes_, value_bytes_, &layer) || !checked_mul(layer, layers_, &total)) {
    return Status::value_error("a cache of %lld positions passes 2^63 bytes", ll(positions));
  }
  return memory_.reserve(total);
}

CacheView Cache::layer(int64_t index) const {
  CacheView view = shape_;
  view.keys = memory_.data() + index * (key_bytes_ + value_bytes_);
  view.values = view.keys + key_bytes_;
  return view;
}

int64_t Cache::bytes_before(int64_t position) const {
  return layers_ * (key_bytes_ + value_bytes_) / positions_ * position;
}

}  // namespace qk::llama
