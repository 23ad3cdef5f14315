// Arrays of heads, (heads, tokens, head_dim), as attention takes them: their checks, and the way of
// keys and values into a cache.
#pragma once

#include "core/parallel.h"
#include "core/status.h"
#include "core/views.h"
#include "ops/attention.h"

namespace qk {

struct HeadShape {
  int64_t heads = 0;
  int64_t tokens = 0;
  int64_t head_dim = 0;
};

// An array of three dimensions in a float type, with heads of 1 to kMaxHeadDim values. `what` names
// it in messages.
Status check_heads(const ArrayView& array, const char* what, HeadShape* out);

// Values of the keys' shape.
Status check_values(const ArrayView& v, const HeadShape& keys);

// Queries over keys: as wide, of a multiple of their heads, and when causal with no more tokens.
Status check_attention(const HeadShape& q, const HeadShape& keys, bool causal);

// The position of the first query among `keys`: token j sees the keys up to first_query + j.
inline int64_t first_query(int64_t queries, int64_t keys, bool causal) {
  return causal ? keys - queries : keys - 1;
}

// Writes keys, and values unless `v` is null, to the positions of the cache from `first` on. Both
// have the cache's heads.
void store_heads(const Parallel& parallel, const KernelTable& kernels, const CacheView& cache,
                 int64_t first, const ArrayView& k, const ArrayView* v);

}  // namespace qk
