// What the IQ formats share: signs, and magnitudes made unsigned quants with their signs applied.
#pragma once

#include <cstdint>

#include "core/macros.h"
#include "formats/grid_tables.h"

namespace qk {

constexpr int kIqBias = 64;  // magnitudes reach 62

// Seven stored sign bits and an eighth that makes their number even.
QK_INLINE uint32_t even_signs(uint32_t seven_bits) {
  return seven_bits | static_cast<uint32_t>(__builtin_parity(seven_bits)) << 7;
}

// Eight bytes 64 + m or, where the sign bit is set, 64 - m: no byte carries or borrows.
QK_INLINE uint64_t signed_quants(uint64_t magnitudes, uint32_t signs) {
  constexpr uint64_t kOnes = 0x0101010101010101;
  constexpr uint64_t kOneBitEach = 0x8040201008040201;
  constexpr uint64_t kBias = kOnes * kIqBias;
  const uint64_t picked = (kOnes * signs) & kOneBitEach;  // byte i: 0, or bit i
  const uint64_t negative = ((picked + kOnes * 0x7f) >> 7 & kOnes) * 0xff;
  const uint64_t plus = kBias + magnitudes;
  const uint64_t minus = kBias - magnitudes;
  return (plus & ~negative) | (minus & negative);
}

constexpr int kIq1Bias = 16;

// Eight bytes 16 + 8 * grid + 1, or with a negative delta - 1, of a row of iq1's grid.
QK_INLINE uint64_t iq1_quants(uint32_t row, bool negative_delta) {
  constexpr uint64_t kOnes = 0x0101010101010101;
  // The grid holds value + 1: 8 * (value + 1) + 8 +- 1, at most 25.
  return 8 * kIq1Grid[row] + kOnes * (negative_delta ? 7 : 9);
}

}  // namespace qk
