// IEEE binary16 and bfloat16 to and from float32, bit for bit as NumPy converts them.
//
//   binary16:  s eeeee mmmmmmmmmm            bias 15
//   bfloat16:  s eeeeeeee mmmmmmm            the upper half of a float32
#pragma once

#include <cstdint>

#include "core/macros.h"

namespace qk {

QK_INLINE float float_of_bits(uint32_t bits) { return __builtin_bit_cast(float, bits); }
QK_INLINE uint32_t bits_of_float(float value) { return __builtin_bit_cast(uint32_t, value); }

QK_INLINE float half_to_float(uint16_t half) {
  const uint32_t sign = static_cast<uint32_t>(half & 0x8000u) << 16;
  const uint32_t magnitude = half & 0x7fffu;
  // Normal numbers: move the fields into place and re-bias the exponent by 127 - 15 = 112.
  uint32_t bits = (magnitude << 13) + (112u << 23);
  if (magnitude >= 0x7c00u) {
    bits += 112u << 23;  // infinity and NaN keep an exponent of all ones
  } else if (magnitude < 0x0400u) {
    // Denormals: the mantissa counts units of 2^-24, an exact product.
    bits = bits_of_float(static_cast<float>(magnitude) * 0x1p-24f);
  }
  return float_of_bits(sign | bits);
}

// Round to nearest, ties to even; overflow becomes infinity, a NaN stays a (quiet) NaN.
QK_INLINE uint16_t float_to_half(float value) {
  const uint32_t bits = bits_of_float(value);
  const auto sign = static_cast<uint16_t>((bits >> 16) & 0x8000u);
  const uint32_t magnitude = bits & 0x7fffffffu;
  if (magnitude > 0x7f800000u) return static_cast<uint16_t>(sign | 0x7e00u);
  if (magnitude >= 0x47800000u) return static_cast<uint16_t>(sign | 0x7c00u);  // >= 2^16
  if (magnitude < 0x38800000u) {  // below 2^-14: adding 0.5 leaves the rounded count of 2^-24
    const float shifted = float_of_bits(magnitude) + 0.5f;
    return static_cast<uint16_t>(sign | (bits_of_float(shifted) - bits_of_float(0.5f)));
  }
  const uint32_t odd = (magnitude >> 13) & 1u;
  const uint32_t rounded = magnitude - (112u << 23) + 0xfffu + odd;
  return static_cast<uint16_t>(sign | (rounded >> 13));
}

QK_INLINE float bfloat_to_float(uint16_t bfloat) {
  return float_of_bits(static_cast<uint32_t>(bfloat) << 16);
}

// Round to nearest, ties to even; a NaN stays a (quiet) NaN.
QK_INLINE uint16_t float_to_bfloat(float value) {
  const uint32_t bits = bits_of_float(value);
  if ((bits & 0x7fffffffu) > 0x7f800000u) return static_cast<uint16_t>((bits >> 16) | 0x40u);
  const uint32_t odd = (bits >> 16) & 1u;
  return static_cast<uint16_t>((bits + 0x7fffu + odd) >> 16);
}

}  // namespace qk
