// What a transformer does to float data between products, as function pointers: one constant an
// ISA, beside its KernelTable.
#pragma once

#include <cstddef>
#include <cstdint>

namespace qk {

// How keys and values are kept.
enum class CacheType : uint8_t { kF32, kF16 };
inline constexpr int kCacheTypes = 2;

// Keys lie in panels of 16 positions: element e of position t at [t / 16][head][e][t % 16], so that
// a vector's lanes are positions and a score is summed without crossing lanes. Values lie at
// [t][head][e], a head's padded to whole vectors. Memory that is not used yet is behind all that
// is.
inline constexpr int kKeyPanel = 16;
inline constexpr int kMaxHeadDim = 256;

// Attention of query rows over the keys of one sequence. Row r stands for key head
// r / (tokens * group), token r / group % tokens and query head key_head * group + r % group.
struct AttentionArgs {
  const float* q;
  int64_t q_token;  // floats from a token's queries to the next
  int64_t q_head;   // floats from a head to the next
  int64_t tokens;
  int64_t group;  // query heads that share a key head
  const std::byte* keys;
  const std::byte* values;
  int64_t key_head;     // bytes from a head's keys to the next head's
  int64_t value_head;   // the same of values
  int64_t head_dim;     // at most kMaxHeadDim
  int64_t key_panel;    // elements from one panel of keys to the next
  int64_t value_row;    // elements from one position's values to the next
  int64_t value_width;  // elements of a value row, whole vectors
  int64_t first;        // token j sees the keys [0, first + j], at most `total`
  int64_t total;        // keys in all
  float scale;          // of the products, before the softmax
  float* out;           // the results, like q; or with attention_scores (rows, total)
  int64_t out_token;
  int64_t out_head;
};

// Rows [begin, end). A row's arithmetic does not depend on the others.
using AttentionFn = void (*)(const AttentionArgs& args, int64_t begin, int64_t end);

// The sum of squares of `count` floats.
using SumSquaresFn = float (*)(const float* x, int64_t count);

// out[i] = x[i] * factor * gains[i]
using NormaliseFn = void (*)(const float* x, float factor, const float* gains, int64_t count,
                             float* out);

// gate[i] = silu(gate[i]) * up[i], with silu(g) = g / (1 + exp(-g))
using GateFn = void (*)(float* gate, const float* up, int64_t count);

// Floats as binary16, to nearest, ties to even.
using ToHalvesFn = void (*)(const float* x, int64_t count, uint16_t* out);

struct DenseKernels {
  AttentionFn attention[kCacheTypes];
  AttentionFn attention_scores;  // keys of float32; masked scores are 0
  SumSquaresFn sum_squares;
  NormaliseFn normalise;
  GateFn gate;
  ToHalvesFn to_halves;
};

}  // namespace qk
