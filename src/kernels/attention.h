// Attention in one pass over the keys: softmax(scale * q . K) . V, with a running maximum.
//
// Up to eight query rows that share a key head are taken at once, against blocks of 64 keys. Of a
// block's scores s and the largest m so far, a row keeps  sum = sum * e^(m' - m) + sum of e^(s - m)
// and out likewise, m' being the largest before; the quotient of the two at the end is its result.
// Keys that a row does not see are left out of everything, whatever they hold.
#pragma once

#include "formats/f16.h"
#include "formats/f32.h"
#include "kernels/dense.h"
#include "kernels/elementwise.h"

namespace qk::QK_ISA {
namespace {

inline constexpr int kQueryRows = 8;
inline constexpr int kBlockKeys = 64;

// Some query rows of one key head, and what they have gathered so far.
struct AttentionTile {
  const float* q[kQueryRows];
  float* out[kQueryRows];
  int64_t seen[kQueryRows];  // keys that each row sees
  int rows;
  const std::byte* keys;
  const std::byte* values;
  alignas(64) float scores[kQueryRows][kBlockKeys];
  alignas(64) float gathered[kQueryRows][kMaxHeadDim];
  float largest[kQueryRows];
  float sum[kQueryRows];
};

template <class I, CacheType T>
struct Cached {
  using Element = F32::Block;
  static QK_INLINE typename I::Floats load(const std::byte* elements, int64_t at) {
    return I::load_f32(reinterpret_cast<const Element*>(elements) + at);
  }
};
template <class I>
struct Cached<I, CacheType::kF16> {
  using Element = F16::Block;
  static QK_INLINE typename I::Floats load(const std::byte* elements, int64_t at) {
    return I::load_f16(reinterpret_cast<const Element*>(elements) + at);
  }
};

// The scores of R rows and P vectors of keys, from key first_key + at on.
template <class I, CacheType T, int R, int P>
QK_INLINE void score_vectors(const AttentionArgs& args, AttentionTile& tile, int64_t first_key,
                             int at) {
  using Keys = Cached<I, T>;
  typename I::Floats sums[R][P];
  for (int r = 0; r < R; ++r) {
    for (int p = 0; p < P; ++p) sums[r][p] = I::zero();
  }
  int64_t starts[P];
  for (int p = 0; p < P; ++p) {
    const int64_t key = first_key + at + p * I::kLanes;
    starts[p] = key / kKeyPanel * args.key_panel + key % kKeyPanel;
  }
  for (int64_t e = 0; e < args.head_dim; ++e) {
    typename I::Floats keys[P];
    for (int p = 0; p < P; ++p) keys[p] = Keys::load(tile.keys, starts[p] + e * kKeyPanel);
    for (int r = 0; r < R; ++r) {
      const auto q = I::broadcast(tile.q[r][e]);
      for (int p = 0; p < P; ++p) sums[r][p] = I::fma(q, keys[p], sums[r][p]);
    }
  }
  const auto scale = I::broadcast(args.scale);
  for (int r = 0; r < R; ++r) {
    for (int p = 0; p < P; ++p) {
      I::store(tile.scores[r] + at + p * I::kLanes, I::fmul(sums[r][p], scale));
    }
  }
}

// The scores of a block of `count` keys; those up to the end of the last panel are written too.
template <class I, CacheType T, int R>
QK_INLINE void score_block(const AttentionArgs& args, AttentionTile& tile, int64_t first_key,
                           int count) {
  constexpr int kVectors = R <= 4 ? 2 : 1;  // as many sums as hide an addition's latency
  int at = 0;
  for (; at + kVectors * I::kLanes <= kBlockKeys && at < count; at += kVectors * I::kLanes) {
    if (at + I::kLanes >= count) {
      score_vectors<I, T, R, 1>(args, tile, first_key, at);
    } else {
      score_vectors<I, T, R, kVectors>(args, tile, first_key, at);
    }
  }
}

// The largest of `count` scores and of `least`; NaN is passed over, and shows in the exponentials.
template <class I>
QK_INLINE float largest_of(const float* scores, int64_t count, float least) {
  auto most = I::broadcast(least);
  int64_t i = 0;
  for (; i + I::kLanes <= count; i += I::kLanes) most = I::fmax(I::load(scores + i), most);
  alignas(64) float lanes[I::kLanes];
  I::store(lanes, most);
  for (const float lane : lanes) least = lane > least ? lane : least;
  for (; i < count; ++i) least = scores[i] > least ? scores[i] : least;
  return least;
}

// Scores become e^(score - largest), 0 from `seen` on; returns what the row's sums so far are
// multiplied by.
template <class I>
QK_INLINE float weigh_row(float (&scores)[kBlockKeys], int seen, float& largest, float& sum) {
  constexpr int kLanes = I::kLanes;
  const float most = largest_of<I>(scores, seen, largest);
  alignas(64) float factor[kLanes];
  I::store(factor, exponential<I>(I::broadcast(largest - most)));
  const auto minus_most = I::broadcast(-most);
  auto total = I::zero();
  for (int i = 0; i < kBlockKeys; i += kLanes) {
    if (i >= seen) {
      I::store(scores + i, I::zero());
      continue;
    }
    I::store(scores + i, exponential<I>(I::add(I::load(scores + i), minus_most)));
    for (int j = seen; j < i + kLanes; ++j) scores[j] = 0.0f;
    total = I::add(total, I::load(scores + i));
  }
  sum = sum * factor[0] + I::sum(total);
  largest = most;
  return factor[0];
}

// gathered[r][..] += weight * value for R rows, C vectors of elements and keys that all rows see.
template <class I, CacheType T, int R, int C>
QK_INLINE void gather_columns(const AttentionArgs& args, AttentionTile& tile,
                              const float (&factors)[kQueryRows], int64_t first_key, int shared,
                              int64_t column) {
  using Values = Cached<I, T>;
  typename I::Floats sums[R][C];
  for (int r = 0; r < R; ++r) {
    for (int c = 0; c < C; ++c) {
      sums[r][c] =
          I::fmul(I::load(tile.gathered[r] + column + c * I::kLanes), I::broadcast(factors[r]));
    }
  }
  for (int t = 0; t < shared; ++t) {
    const int64_t row = (first_key + t) * args.value_row + column;
    typename I::Floats values[C];
    for (int c = 0; c < C; ++c) values[c] = Values::load(tile.values, row + c * I::kLanes);
    for (int r = 0; r < R; ++r) {
      const auto weight = I::broadcast(tile.scores[r][t]);
      for (int c = 0; c < C; ++c) sums[r][c] = I::fma(weight, values[c], sums[r][c]);
    }
  }
  for (int r = 0; r < R; ++r) {
    for (int c = 0; c < C; ++c) I::store(tile.gathered[r] + column + c * I::kLanes, sums[r][c]);
  }
}

// The keys of a block that row r sees and not all do.
template <class I, CacheType T>
QK_INLINE void gather_rest(const AttentionArgs& args, AttentionTile& tile, int r, int64_t first_key,
                           int begin, int end) {
  for (int t = begin; t < end; ++t) {
    const auto weight = I::broadcast(tile.scores[r][t]);
    for (int64_t column = 0; column < args.value_width; column += I::kLanes) {
      const auto value = Cached<I, T>::load(tile.values, (first_key + t) * args.value_row + column);
      float* sum = tile.gathered[r] + column;
      I::store(sum, I::fma(weight, value, I::load(sum)));
    }
  }
}

QK_INLINE int keys_seen(int64_t seen, int64_t first_key) {
  const int64_t left = seen - first_key;
  if (left < 0) return 0;
  return left < kBlockKeys ? static_cast<int>(left) : kBlockKeys;
}

template <class I, CacheType T, int R>
QK_INLINE void attend_block(const AttentionArgs& args, AttentionTile& tile, int64_t first_key) {
  constexpr int kWideColumns = R <= 4 ? 4 : 2;
  constexpr int kColumns = I::kLanes >= 16 ? kWideColumns : 1;
  int most = 0;
  int shared = kBlockKeys;
  for (int r = 0; r < R; ++r) {
    const int seen = keys_seen(tile.seen[r], first_key);
    most = seen > most ? seen : most;
    shared = seen < shared ? seen : shared;
  }
  score_block<I, T, R>(args, tile, first_key, most);
  float factors[kQueryRows];
  for (int r = 0; r < R; ++r) {
    const int seen = keys_seen(tile.seen[r], first_key);
    factors[r] =
        seen == 0 ? 1.0f : weigh_row<I>(tile.scores[r], seen, tile.largest[r], tile.sum[r]);
  }
  int64_t column = 0;
  for (; column + kColumns * I::kLanes <= args.value_width; column += kColumns * I::kLanes) {
    gather_columns<I, T, R, kColumns>(args, tile, factors, first_key, shared, column);
  }
  for (; column < args.value_width; column += I::kLanes) {
    gather_columns<I, T, R, 1>(args, tile, factors, first_key, shared, column);
  }
  for (int r = 0; r < R; ++r) {
    gather_rest<I, T>(args, tile, r, first_key, shared, keys_seen(tile.seen[r], first_key));
  }
}

// Rows [begin, begin + R) of one key head, the last of which stands in for those past `count`.
template <class I, int R>
QK_INLINE void place_tile(const AttentionArgs& args, int64_t begin, int count,
                          AttentionTile& tile) {
  const int64_t rows_of_head = args.tokens * args.group;
  const int64_t key_head = begin / rows_of_head;
  tile.keys = args.keys + key_head * args.key_head;
  tile.values = args.values + key_head * args.value_head;
  for (int r = 0; r < R; ++r) {
    const int64_t row = begin % rows_of_head + (r < count ? r : count - 1);
    const int64_t token = row / args.group;
    const int64_t head = key_head * args.group + row % args.group;
    tile.q[r] = args.q + token * args.q_token + head * args.q_head;
    tile.out[r] = args.out + token * args.out_token + head * args.out_head;
    const int64_t seen = args.first + token + 1;
    tile.seen[r] = seen < args.total ? seen : args.total;
    tile.largest[r] = -__builtin_inff();
    tile.sum[r] = 0.0f;
    for (int64_t e = 0; e < args.value_width; e += I::kLanes) {
      I::store(tile.gathered[r] + e, I::zero());
    }
  }
}

template <class I, CacheType T, int R>
void attend_tile(const AttentionArgs& args, int64_t begin, int count) {
  AttentionTile tile;
  place_tile<I, R>(args, begin, count, tile);
  for (int64_t key = 0; key < tile.seen[count - 1]; key += kBlockKeys) {
    attend_block<I, T, R>(args, tile, key);
  }
  for (int r = 0; r < count; ++r) {
    const float factor = 1.0f / tile.sum[r];
    for (int64_t e = 0; e < args.head_dim; ++e) tile.out[r][e] = tile.gathered[r][e] * factor;
  }
}

template <class I, CacheType T>
void attention(const AttentionArgs& args, int64_t begin, int64_t end) {
  const int64_t rows_of_head = args.tokens * args.group;
  while (begin < end) {
    const int64_t head_end = (begin / rows_of_head + 1) * rows_of_head;
    const int64_t left = (end < head_end ? end : head_end) - begin;
    const int count = left < kQueryRows ? static_cast<int>(left) : kQueryRows;
    if (count == 1) {
      attend_tile<I, T, 1>(args, begin, count);
    } else if (count <= 4) {
      attend_tile<I, T, 4>(args, begin, count);
    } else {
      attend_tile<I, T, kQueryRows>(args, begin, count);
    }
    begin += count;
  }
}

}  // namespace
}  // namespace qk::QK_ISA
