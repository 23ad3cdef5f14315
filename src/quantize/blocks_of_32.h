// q4_0, q4_1, q5_0, q5_1 without importance: the range of a block's weights, cut into equal steps.
// Each operation and its order are those of `gguf.quants`, whose bits come out.
//
//   q4_0, q5_0  the weight of the largest magnitude becomes -8 or -16; the other end of the range
//               is clipped by up to half a step
//   q4_1, q5_1  the least weight becomes 0 and the largest 15 or 31; what lies past the largest
//               half is counted from there
#pragma once

#include "formats/q4_0.h"
#include "formats/q4_1.h"
#include "formats/q5_0.h"
#include "formats/q5_1.h"
#include "quantize/lanes.h"
#include "quantize/quantizer.h"

namespace qk::QK_ISA {
namespace {

// `quants[i]` = (x[i] - low) * inverse + rounding, cut to a whole number of 0..kMost.
template <int kMost>
QK_INLINE void cut_into_steps(const float* x, float low, float inverse, float rounding,
                              uint8_t* quants) {
  for (int i = 0; i < 32; ++i) {
    const auto quant = static_cast<int>((x[i] - low) * inverse + rounding);
    quants[i] = static_cast<uint8_t>(quant < kMost ? quant : kMost);
  }
}

QK_INLINE void pack_nibbles(const uint8_t* quants, uint8_t* out) {
  for (int i = 0; i < 16; ++i) {
    out[i] = static_cast<uint8_t>((quants[i] & 15) | (quants[i + 16] & 15) << 4);
  }
}

// Bit 4 of 32 quants.
QK_INLINE uint32_t fifth_bits(const uint8_t* quants) {
  uint32_t bits = 0;
  for (int i = 0; i < 32; ++i) bits |= static_cast<uint32_t>(quants[i] >> 4 & 1) << i;
  return bits;
}

template <class Block>
QK_INLINE void pack_quants(const uint8_t* quants, Block& block) {
  pack_nibbles(quants, block.qs);
  if constexpr (requires { block.qh; }) {
    const uint32_t bits = fifth_bits(quants);
    __builtin_memcpy(&block.qh, &bits, sizeof(bits));
  }
}

template <class F>
QK_INLINE bool encode_symmetric(const float* x, typename F::Block& block) {
  constexpr auto kBias = static_cast<float>(F::kBias);
  const float d = signed_largest<32>(x) / -kBias;
  if (!store_scale(d, block.d)) return false;
  uint8_t quants[32];
  cut_into_steps<F::kMaxQuant>(x, 0.0f, inverse_or_0(d), kBias + 0.5f, quants);
  pack_quants(quants, block);
  return true;
}

template <class F>
QK_INLINE bool encode_with_min(const float* x, typename F::Block& block) {
  const Extremes range = extremes<32>(x);
  const float low = range.low < kPastHalves ? range.low : kLargestHalf;
  const float d = (range.high - low) / static_cast<float>(F::kMaxQuant);
  if (!store_scale(d, block.d) || !store_scale(low, block.m)) return false;
  uint8_t quants[32];
  cut_into_steps<F::kMaxQuant>(x, low, inverse_or_0(d), 0.5f, quants);
  pack_quants(quants, block);
  return true;
}

}  // namespace
}  // namespace qk::QK_ISA
