// Attention over a cache of keys and values, and what fills the cache: RoPE and storing.
#pragma once

#include <cstddef>
#include <cstdint>

#include "core/parallel.h"
#include "core/status.h"
#include "kernels/table.h"

namespace qk {

// The keys and values of one layer: memory for `positions` of them (kernels/dense.h draws it).
struct CacheView {
  std::byte* keys = nullptr;
  std::byte* values = nullptr;
  CacheType type = CacheType::kF16;
  int64_t heads = 0;  // key heads
  int64_t head_dim = 0;
};

// The bytes that the keys, and the bytes that the values, of one layer take. ValueError for a
// head_dim outside 1 .. kMaxHeadDim, or sizes that pass 2^63.
Status cache_bytes(CacheType type, int64_t heads, int64_t head_dim, int64_t positions,
                   int64_t* keys, int64_t* values);

// Writes the key and the value of one head at one position; a null value is left out.
void store_head(const KernelTable& kernels, const CacheView& cache, int64_t head, int64_t position,
                const float* key, const float* value);

// Reads them back: what was stored, in the cache's type.
void load_head(const CacheView& cache, int64_t head, int64_t position, float* key, float* value);

// Writes the keys and values of `tokens` positions from `first` on. k and v are rows of
// heads * head_dim floats, `stride` floats apart. A position is written by one thread.
void store_cache(const KernelTable& kernels, const CacheView& cache, int64_t first, int64_t tokens,
                 const float* k, const float* v, int64_t stride);

// Rows of queries, and of results: `heads` heads of head_dim floats a token.
struct HeadRows {
  const float* q = nullptr;
  float* out = nullptr;
  int64_t heads = 0;  // a multiple of the cache's
  int64_t tokens = 0;
  int64_t q_token = 0;    // floats from one token's queries to the next's
  int64_t q_head = 0;     // floats from one head's to the next's
  int64_t out_token = 0;  // the same of the results
  int64_t out_head = 0;
};

// out = softmax(scale * q . K) . V. Token j sees the keys [0, first + j] of `total`.
void attention(const Parallel& parallel, const KernelTable& kernels, const HeadRows& rows,
               const CacheView& cache, int64_t first, int64_t total, float scale);

// The softmax alone, of a cache of float32: out rows hold `total` weights.
void attention_scores(const Parallel& parallel, const KernelTable& kernels, const HeadRows& rows,
                      const CacheView& cache, int64_t first, int64_t total, float scale);

}  // namespace qk
