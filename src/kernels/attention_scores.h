// softmax(scale * q . K) by itself, row by row: for those who want the weights and not their sum.
#pragma once

#include "kernels/attention.h"

namespace qk::QK_ISA {
namespace {

// Rows [begin, end): `total` weights each, of which those that the row does not see are 0. Two
// passes, so that they are divided by the sum of what is written.
template <class I>
void attention_scores(const AttentionArgs& args, int64_t begin, int64_t end) {
  constexpr int64_t kLanes = I::kLanes;
  for (int64_t row = begin; row < end; ++row) {
    AttentionTile tile;
    place_tile<I, 1>(args, row, 1, tile);
    float* out = tile.out[0];
    const int64_t seen = tile.seen[0];
    for (int64_t key = 0; key < seen; key += kBlockKeys) {
      const int count = keys_seen(seen, key);
      score_block<I, CacheType::kF32, 1>(args, tile, key, count);
      for (int i = 0; i < count; ++i) out[key + i] = tile.scores[0][i];
    }
    const auto minus_most = I::broadcast(-largest_of<I>(out, seen, -__builtin_inff()));
    auto total = I::zero();
    for (int64_t i = 0; i < seen; i += kLanes) {
      const int64_t count = seen - i < kLanes ? seen - i : kLanes;
      Tail<I> vector;
      const auto weights = exponential<I>(I::add(vector.load(out + i, count), minus_most));
      vector.store(weights, count, out + i);
      for (int64_t j = count; j < kLanes; ++j) vector.values[j] = 0.0f;
      total = I::add(total, I::load(vector.values));
    }
    const float factor = 1.0f / I::sum(total);
    for (int64_t i = 0; i < seen; ++i) out[i] *= factor;
    for (int64_t i = seen; i < args.total; ++i) out[i] = 0.0f;
  }
}

}  // namespace
}  // namespace qk::QK_ISA
