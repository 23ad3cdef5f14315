// q8_0, q8_1, q8_k, q8_ks: 8 bits a weight.
//
//   q8_0   as `gguf.quants`: the largest magnitude of a block becomes 127; ties away from zero
//   q8_1   as ggml: the same, and the scale times the sum of quants beside it
//   q8_k   as ggml: the weight of the largest magnitude becomes -127; ties to even
//   q8_ks  weights less the superblock's mean, or the half next to it, which is dmin; each group of
//          8 takes the least scale of 4 bits that holds its largest magnitude
#pragma once

#include "formats/q8_0.h"
#include "formats/q8_1.h"
#include "formats/q8_k.h"
#include "formats/q8_ks.h"
#include "quantize/lanes.h"
#include "quantize/quantizer.h"

namespace qk::QK_ISA {
namespace {

// To the nearest whole number, ties away from zero, for |value| < 2^23.
QK_INLINE int round_away(float value) {
  const float whole = __builtin_truncf(value);
  return static_cast<int>(whole) + static_cast<int>(2.0f * (value - whole));
}

// Ties to even, for |value| < 2^22.
QK_INLINE int round_even(float value) {
  return static_cast<int>((value + 12582912.0f) - 12582912.0f);
}

// 32 quants of -127..127 and their scale.
QK_INLINE float quantize_32(const float* x, int8_t* quants) {
  const float d = largest_magnitude<32>(x) / 127.0f;
  const float inverse = inverse_or_0(d);
  for (int i = 0; i < 32; ++i) quants[i] = static_cast<int8_t>(round_away(x[i] * inverse));
  return d;
}

QK_INLINE bool encode_q8_0(const float* x, Q8_0::Block& block) {
  return store_scale(quantize_32(x, block.qs), block.d);
}

QK_INLINE bool encode_q8_1(const float* x, Q8_1::Block& block) {
  const float d = quantize_32(x, block.qs);
  int sum = 0;
  for (const int8_t quant : block.qs) sum += quant;
  return store_scale(d, block.d) && store_scale(static_cast<float>(sum) * d, block.s);
}

// d, or next to it what 127 steps of stay finite, where the largest weight is a largest float.
QK_INLINE float scale_of_q8_k(float d) {
  while (!is_finite(127.0f * d)) d = float_of_bits(bits_of_float(d) - 1);
  return d;
}

QK_INLINE bool encode_q8_k(const float* x, Q8_K::Block& block) {
  const float largest = signed_largest<256>(x);
  const float exact = -127.0f / largest;
  const float inverse = __builtin_fabsf(exact) < __builtin_inff() ? exact : 0.0f;
  block.d.set(scale_of_q8_k(inverse_or_0(inverse)));
  for (int i = 0; i < 256; ++i) {
    const int quant = round_even(x[i] * inverse);
    block.qs[i] = static_cast<int8_t>(quant < 127 ? quant : 127);
  }
  for (int g = 0; g < 16; ++g) {
    int sum = 0;
    for (int i = 0; i < 16; ++i) sum += block.qs[16 * g + i];
    block.bsums[g].set(static_cast<uint16_t>(sum));
  }
  return true;
}

QK_INLINE int clamp(int value, int low, int high) {
  const int least = value < high ? value : high;
  return least > low ? least : low;
}

// The least scale of 1..15 with which `largest` is at most 127 steps of d.
QK_INLINE int scale_of_group(float largest, float d) {
  const float exact = largest * inverse_or_0(127.0f * d);
  auto scale = static_cast<int>(exact);
  scale += static_cast<float>(scale) < exact ? 1 : 0;
  return clamp(scale, 1, 15);
}

QK_INLINE bool encode_q8_ks(const float* x, Q8_KS::Block& block) {
  double sum = 0.0;
  for (int i = 0; i < 256; ++i) sum += static_cast<double>(x[i]);
  block = {};
  const auto mean = static_cast<float>(sum / 256.0);
  if (!store_scale(mean, block.dmin))
    store_scale(__builtin_copysignf(kLargestHalf, mean), block.dmin);
  const float min = half_to_float(block.dmin.get());
  float rest[256];
  for (int i = 0; i < 256; ++i) rest[i] = x[i] - min;
  if (!store_scale(largest_magnitude<256>(rest) / (127.0f * 15.0f), block.d)) return false;
  const float d = half_to_float(block.d.get());
  for (int g = 0; g < 32; ++g) {
    float largest = 0.0f;
    for (int i = 8 * g; i < 8 * g + 8; ++i) {
      const float size = __builtin_fabsf(rest[i]);
      largest = size > largest ? size : largest;
    }
    const int scale = scale_of_group(largest, d);
    block.scales[g / 2] |= static_cast<uint8_t>(scale << (4 * (g % 2)));
    const float inverse = inverse_or_0(d * static_cast<float>(scale));
    for (int i = 8 * g; i < 8 * g + 8; ++i) {
      const int quant = round_even(rest[i] * inverse);  // 15 scales of a rounded d may lack a step
      block.qs[i] = static_cast<int8_t>(clamp(quant, -127, 127));
    }
  }
  return true;
}

template <class Isa>
inline constexpr Quantizer kQuantizer<Q8_0, Isa>{&quantize_each<Q8_0, Isa, &encode_q8_0>};
template <class Isa>
inline constexpr Quantizer kQuantizer<Q8_1, Isa>{&quantize_each<Q8_1, Isa, &encode_q8_1>};
template <class Isa>
inline constexpr Quantizer kQuantizer<Q8_K, Isa>{&quantize_each<Q8_K, Isa, &encode_q8_k>};
template <class Isa>
inline constexpr Quantizer kQuantizer<Q8_KS, Isa>{&quantize_each<Q8_KS, Isa, &encode_q8_ks>};

}  // namespace
}  // namespace qk::QK_ISA
