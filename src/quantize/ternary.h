// tq1_0, tq2_0: each weight the nearest of -d, 0 and d, where d is the superblock's largest
// magnitude, as in `gguf.quants`: made for weights that have three values to begin with.
#pragma once

#include "formats/tq1_0.h"
#include "formats/tq2_0.h"
#include "quantize/eight_bits.h"
#include "quantize/lanes.h"
#include "quantize/quantizer.h"

namespace qk::QK_ISA {
namespace {

// 256 quants of 0, 1, 2, and their scale.
QK_INLINE float quantize_ternary(const float* x, uint8_t* quants) {
  const float d = largest_magnitude<256>(x);
  const float inverse = inverse_or_0(d);
  for (int i = 0; i < 256; ++i) quants[i] = static_cast<uint8_t>(round_away(x[i] * inverse) + 1);
  return d;
}

// Four or five digits of base 3 as a byte: ceil(256 / 243 * number).
QK_INLINE uint8_t pack_digits(const uint8_t* quants, int step, int digits) {
  int number = 0;
  for (int n = 0; n < 5; ++n) number = 3 * number + (n < digits ? quants[step * n] : 0);
  return static_cast<uint8_t>((256 * number + 242) / 243);
}

QK_INLINE bool encode_tq1_0(const float* x, TQ1_0::Block& block) {
  uint8_t quants[256];
  if (!store_scale(quantize_ternary(x, quants), block.d)) return false;
  for (int i = 0; i < 32; ++i) block.qs[i] = pack_digits(quants + i, 32, 5);
  for (int i = 0; i < 16; ++i) block.qs[32 + i] = pack_digits(quants + 160 + i, 16, 5);
  for (int i = 0; i < 4; ++i) block.qh[i] = pack_digits(quants + 240 + i, 4, 4);
  return true;
}

QK_INLINE bool encode_tq2_0(const float* x, TQ2_0::Block& block) {
  uint8_t quants[256];
  if (!store_scale(quantize_ternary(x, quants), block.d)) return false;
  for (int i = 0; i < 64; ++i) {
    const uint8_t* first = quants + 128 * (i / 32) + i % 32;
    block.qs[i] = static_cast<uint8_t>(first[0] | first[32] << 2 | first[64] << 4 | first[96] << 6);
  }
  return true;
}

template <class Isa>
inline constexpr Quantizer kQuantizer<TQ1_0, Isa>{&quantize_each<TQ1_0, Isa, &encode_tq1_0>};
template <class Isa>
inline constexpr Quantizer kQuantizer<TQ2_0, Isa>{&quantize_each<TQ2_0, Isa, &encode_tq2_0>};

}  // namespace
}  // namespace qk::QK_ISA
