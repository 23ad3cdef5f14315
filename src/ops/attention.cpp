#include "ops/attention.h"

#include "core/checked.h"
#include "core/half.h"

namespace qk {
namespace {

int64_t element_bytes(CacheType type) { return type == CacheType::kF16 ? 2 : 4; }

// A value row is padded to whole vectors of any ISA.
int64_t padded(int64_t head_dim) { return (head_dim + kKeyPanel - 1) / kKeyPanel * kKeyPanel; }

int64_t key_panel(const CacheView& cache) { return cache.heads * cache.head_dim * kKeyPanel; }
int64_t value_row(const CacheView& cache) { return cache.heads * padded(cache.head_dim); }

// One head of one position, in elements of the cache's type.
template <class T>
void store_elements(const CacheView& cache, int64_t head, int64_t position, const T* key,
                    const T* value) {
  T* keys = reinterpret_cast<T*>(cache.keys) + position / kKeyPanel * key_panel(cache) +
            head * cache.head_dim * kKeyPanel + position % kKeyPanel;
  for (int64_t e = 0; e < cache.head_dim; ++e) keys[e * kKeyPanel] = key[e];
  if (value == nullptr) return;
  const int64_t width = padded(cache.head_dim);
  T* values = reinterpret_cast<T*>(cache.values) + position * value_row(cache) + head * width;
  for (int64_t e = 0; e < cache.head_dim; ++e) values[e] = value[e];
  for (int64_t e = cache.head_dim; e < width; ++e) values[e] = T{};
}

float to_float(float value) { return value; }
float to_float(uint16_t value) { return half_to_float(value); }

template <class T>
void load_elements(const CacheView& cache, int64_t head, int64_t position, float* key,
                   float* value) {
  const T* keys = reinterpret_cast<const T*>(cache.keys) + position / kKeyPanel * key_panel(cache) +
                  head * cache.head_dim * kKeyPanel + position % kKeyPanel;
  const T* values = reinterpret_cast<const T*>(cache.values) + position * value_row(cache) +
                    head * padded(cache.head_dim);
  for (int64_t e = 0; e < cache.head_dim; ++e) {
    key[e] = to_float(keys[e * kKeyPanel]);
    value[e] = to_float(values[e]);
  }
}

AttentionArgs args_of(const HeadRows& rows, const CacheView& cache, int64_t first, int64_t total,
                      float scale) {
  return {.q = rows.q,
          .q_token = rows.q_token,
          .q_head = rows.q_head,
          .tokens = rows.tokens,
          .group = rows.heads / cache.heads,
          .keys = cache.keys,
          .values = cache.values,
          .key_head = cache.head_dim * kKeyPanel * element_bytes(cache.type),
          .value_head = padded(cache.head_dim) * element_bytes(cache.type),
          .head_dim = cache.head_dim,
          .key_panel = key_panel(cache),
          .value_row = value_row(cache),
          .value_width = padded(cache.head_dim),
          .first = first,
          .total = total,
          .scale = scale,
          .out = rows.out,
          .out_token = rows.out_token,
          .out_head = rows.out_head};
}

void over_rows(const Parallel& parallel, AttentionFn run, const AttentionArgs& args,
               int64_t heads) {
  // A row is worth a thread of its own from some thousand multiplications on.
  constexpr int64_t kGrainWork = 16384;
  const int64_t work = args.total * args.head_dim;
  auto body = [&](int64_t begin, int64_t end) { run(args, begin, end); };
  parallel(heads * args.tokens, ceil_div(kGrainWork, work), body);
}

}  // namespace

Status cache_bytes(CacheType type, int64_t heads, int64_t head_dim, int64_t positions,
                   int64_t* keys, int64_t* values) {
  if (head_dim < 1 || head_dim > kMaxHeadDim) {
    return Status::value_error("heads of %lld values, supported are 1 to %lld", ll(head_dim),
                               ll(kMaxHeadDim));
  }
  int64_t rows = 0;
  int64_t rounded = 0;
  const int64_t bytes = element_bytes(type);
  if (!checked_round_up(positions, kKeyPanel, &rounded) || !checked_mul(rounded, heads, &rows) ||
      !checked_mul(rows, head_dim * bytes, keys) ||
      !checked_mul(rows, padded(head_dim) * bytes, values)) {
    return Status::value_error("a cache of %lld positions passes 2^63 bytes", ll(positions));
  }
  return {};
}

void store_head(const KernelTable& kernels, const CacheView& cache, int64_t head, int64_t position,
                const float* key, const float* value) {
  if (cache.type == CacheType::kF32) {
    store_elements(cache, head, position, key, value);
    return;
  }
  uint16_t halves[2][kMaxHeadDim];
  kernels.dense->to_halves(key, cache.head_dim, halves[0]);
  if (value != nullptr) kernels.dense->to_halves(value, cache.head_dim, halves[1]);
  store_elements(cache, head, position, halves[0], value != nullptr ? halves[1] : nullptr);
}

void load_head(const CacheView& cache, int64_t head, int64_t position, float* key, float* value) {
  if (cache.type == CacheType::kF32) {
    load_elements<float>(cache, head, position, key, value);
  } else {
    load_elements<uint16_t>(cache, head, position, key, value);
  }
}

void store_cache(const KernelTable& kernels, const CacheView& cache, int64_t first, int64_t tokens,
                 const float* k, const float* v, int64_t stride) {
  for (int64_t t = 0; t < tokens; ++t) {
    for (int64_t head = 0; head < cache.heads; ++head) {
      const int64_t at = t * stride + head * cache.head_dim;
      store_head(kernels, cache, head, first + t, k + at, v + at);
    }
  }
}

void attention(const Parallel& parallel, const KernelTable& kernels, const HeadRows& rows,
               const CacheView& cache, int64_t first, int64_t total, float scale) {
  over_rows(parallel, kernels.dense->attention[static_cast<int>(cache.type)],
            args_of(rows, cache, first, total, scale), rows.heads);
}

void attention_scores(const Parallel& parallel, const KernelTable& kernels, const HeadRows& rows,
                      const CacheView& cache, int64_t first, int64_t total, float scale) {
  over_rows(parallel, kernels.dense->attention_scores, args_of(rows, cache, first, total, scale),
            rows.heads);
}

}  // namespace qk
