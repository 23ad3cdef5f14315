// Quantising activations: 256 floats into one unit. Plain loops, vectorised by the compiler.
#pragma once

#include "core/half.h"
#include "kernels/activation_unit.h"

namespace qk::QK_ISA {
namespace {

inline constexpr uint32_t kInfinityBits = 0x7f800000u;

// Magnitudes compare as integers in the order of their values, NaN above infinity.
template <class I>
uint32_t magnitude(const float* x) {
  uint32_t largest = 0;
  for (int i = 0; i < kUnit; ++i) {
    const uint32_t bits = bits_of_float(x[i]) & 0x7fffffffu;
    largest = bits > largest ? bits : largest;
  }
  return largest;
}

// The integer nearest to x, ties to even, for |x| < 2^22: adding 1.5 * 2^23 leaves it in the
// low bits of the sum.
QK_INLINE int32_t round_to_int(float x) {
  constexpr float kShift = 12582912.0f;
  return static_cast<int32_t>(bits_of_float(x + kShift)) -
         static_cast<int32_t>(bits_of_float(kShift));
}

// v[i] = round(x[i] / scale) with scale = max|x| / kMax; returns scale. A group below 1e-30, in a
// row whose largest value is at least 2^-64, counts as zero: 1 / scale would overflow.
template <int kMax>
QK_INLINE float quantize_group(const float* x, float multiplier, int32_t (&v)[kActivationGroup]) {
  uint32_t largest = 0;
  for (int i = 0; i < kActivationGroup; ++i) {
    const uint32_t bits = bits_of_float(x[i] * multiplier) & 0x7fffffffu;
    largest = bits > largest ? bits : largest;
  }
  const float magnitude = float_of_bits(largest);
  const bool tiny = magnitude < 1e-30f;
  const float inverse = tiny ? 0.0f : static_cast<float>(kMax) / magnitude;
  for (int i = 0; i < kActivationGroup; ++i) {
    const int32_t rounded = round_to_int(x[i] * multiplier * inverse);
    const int32_t below = rounded > kMax ? kMax : rounded;
    v[i] = below < -kMax ? -kMax : below;
  }
  return tiny ? 0.0f : magnitude / static_cast<float>(kMax);
}

template <class I, Act A>
void activate_integer(const float* x, float multiplier, std::byte* out) {
  auto& unit = *reinterpret_cast<Unit<A>*>(out);
  for (int g = 0; g < kGroupsPerUnit; ++g) {
    alignas(64) int32_t v[kActivationGroup];
    const float scale = quantize_group<UnitOf<A>::kMax>(x + kActivationGroup * g, multiplier, v);
    int32_t sum = 0;  // |sum| <= 32 * 32639
    for (int h = 0; h < 2; ++h) {
      int32_t sum16 = 0;
      for (int e = 4 * h; e < 4 * h + 4; ++e) {
        const int32_t sum4 = (v[4 * e] + v[4 * e + 1]) + (v[4 * e + 2] + v[4 * e + 3]);
        unit.sums4[8 * g + e] = sum4;
        sum16 += sum4;
      }
      unit.sums16[2 * g + h] = sum16;
      unit.sum16[2 * g + h] = scale * static_cast<float>(sum16);
      sum += sum16;
    }
    unit.scale[g] = scale;
    unit.sum[g] = scale * static_cast<float>(sum);
    if constexpr (A == Act::kInt16) {
      I::store_int16(unit.planes, g, v);
    } else {
      for (int i = 0; i < kActivationGroup; ++i) {
        unit.planes[0][kActivationGroup * g + i] = static_cast<int8_t>(v[i]);
      }
    }
  }
}

template <class I>
void activate_float(const float* x, float multiplier, std::byte* out) {
  auto& unit = *reinterpret_cast<FloatUnit*>(out);
  for (int h = 0; h < kUnit / 16; ++h) {
    float sums[8];
    for (int i = 0; i < 8; ++i) {
      const float first = x[16 * h + i] * multiplier;
      const float second = x[16 * h + 8 + i] * multiplier;
      unit.x[16 * h + i] = first;
      unit.x[16 * h + 8 + i] = second;
      sums[i] = first + second;
    }
    unit.sum16[h] =
        ((sums[0] + sums[4]) + (sums[2] + sums[6])) + ((sums[1] + sums[5]) + (sums[3] + sums[7]));
  }
  for (int g = 0; g < kGroupsPerUnit; ++g) unit.sum[g] = unit.sum16[2 * g] + unit.sum16[2 * g + 1];
}

}  // namespace
}  // namespace qk::QK_ISA
