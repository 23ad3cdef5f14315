#include "ops/heads.h"

#include <algorithm>

#include "core/array.h"
#include "core/checked.h"
#include "ops/shape_text.h"
#include "ops/shapes.h"

namespace qk {

Status check_heads(const ArrayView& array, const char* what, HeadShape* out) {
  QK_TRY(check_float(array, what));
  const ShapeText shape(array.shape, array.ndim);
  if (array.ndim != 3) {
    return Status::value_error("%s has shape %s; expected (heads, tokens, head_dim)", what,
                               shape.text);
  }
  *out = {array.shape[0], array.shape[1], array.shape[2]};
  if (out->heads < 1) return Status::value_error("%s has shape %s: no heads", what, shape.text);
  if (out->head_dim < 1 || out->head_dim > kMaxHeadDim) {
    return Status::value_error("%s has heads of %lld values, supported are 1 to %d", what,
                               ll(out->head_dim), kMaxHeadDim);
  }
  if (dims_product(array, 3) < 0) {
    return Status::value_error("%s has shape %s: over 2^63 values", what, shape.text);
  }
  return {};
}

Status check_values(const ArrayView& v, const HeadShape& keys) {
  HeadShape values;
  QK_TRY(check_heads(v, "v", &values));
  const int64_t shape[] = {keys.heads, keys.tokens, keys.head_dim};
  if (!std::equal(shape, shape + 3, v.shape)) {
    return Status::value_error("v has shape %s, k has %s", ShapeText(v.shape, 3).text,
                               ShapeText(shape, 3).text);
  }
  return {};
}

Status check_attention(const HeadShape& q, const HeadShape& keys, bool causal) {
  if (q.head_dim != keys.head_dim) {
    return Status::value_error("q has heads of %lld values, the keys of %lld", ll(q.head_dim),
                               ll(keys.head_dim));
  }
  if (q.heads % keys.heads != 0) {
    return Status::value_error("q has %lld heads, which is no multiple of the %lld of the keys",
                               ll(q.heads), ll(keys.heads));
  }
  if (keys.tokens < 1) return Status::value_error("there are no keys to attend to");
  if (causal && keys.tokens < q.tokens) {
    return Status::value_error(
        "causal attention of m=%lld queries over t=%lld keys: the last m "
        "keys are the queries' own",
        ll(q.tokens), ll(keys.tokens));
  }
  return {};
}

void store_heads(const Parallel& parallel, const KernelTable& kernels, const CacheView& cache,
                 int64_t first, const ArrayView& k, const ArrayView* v) {
  const int64_t tokens = k.shape[1];
  const auto load = [&](const ArrayView& array, int64_t head, int64_t token, float* out) {
    load_floats(row_address(array, head * tokens + token), array.strides[2], array.type,
                cache.head_dim, out);
  };
  auto body = [&](int64_t begin, int64_t end) {
    float key[kMaxHeadDim];
    float value[kMaxHeadDim];
    for (int64_t head = 0; head < cache.heads; ++head) {
      for (int64_t token = begin; token < end; ++token) {
        load(k, head, token, key);
        if (v != nullptr) load(*v, head, token, value);
        store_head(kernels, cache, head, first + token, key, v != nullptr ? value : nullptr);
      }
    }
  };
  // Some microseconds of work, and whole panels of keys, so that threads share few cache lines.
  const int64_t grain = ceil_div(4096, cache.heads * cache.head_dim);
  parallel(tokens, ceil_div(grain, kKeyPanel) * kKeyPanel, body);
}

}  // namespace qk
