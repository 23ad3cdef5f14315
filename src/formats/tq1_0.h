// TQ1_0: a superblock of 256 ternary weights, five to a byte in base 3, one scale.
//
//   byte   0..47   qs   byte i < 32 holds weights i, 32 + i, 64 + i, 96 + i, 128 + i, the first as
//                       its highest digit; byte 32 + i, i < 16, weights 160 + i, 176 + i, ... 224 +
//                       i
//          48..51  qh   byte i: weights 240 + i, 244 + i, 248 + i, 252 + i
//          52..53  d    binary16
//   A byte is ceil(256 / 243 * number): its digit n is the high byte of 3 * (byte * 3^n mod 256).
//   weight[i] = d * (digit - 1)
#pragma once

#include "core/half.h"
#include "core/unaligned.h"
#include "formats/format.h"
#include "formats/octets.h"

namespace qk {

struct TQ1_0 : Octets<TQ1_0> {
  static constexpr FormatInfo kInfo{"tq1_0", 34, 256, 54};
  static constexpr bool kFloat = false;
  static constexpr int kGroup = 32;
  static constexpr int kMinGroup = 32;
  static constexpr int kMaxQuant = 2;
  static constexpr int kBias = 1;
  static constexpr bool kHasMin = false;
  struct Block {
    uint8_t qs[48];
    uint8_t qh[4];
    U16 d;
  };
  static_assert(sizeof(Block) == kInfo.bytes && alignof(Block) == 1);

  static QK_INLINE uint64_t digit(uint8_t byte, int n) {
    constexpr uint8_t kPowers[5] = {1, 3, 9, 27, 81};
    const auto rest = static_cast<uint8_t>(byte * kPowers[n]);
    return static_cast<uint64_t>(rest * 3 >> 8);
  }

  static QK_INLINE uint64_t octet(const Block& block, int e) {
    uint64_t quants = 0;
    for (int i = 0; i < 8; ++i) {
      const int w = 8 * e + i;
      uint64_t quant;
      if (w < 160) {
        quant = digit(block.qs[w % 32], w / 32);
      } else if (w < 240) {
        quant = digit(block.qs[32 + (w - 160) % 16], (w - 160) / 16);
      } else {
        quant = digit(block.qh[(w - 240) % 4], (w - 240) / 4);
      }
      quants |= quant << (8 * i);
    }
    return quants;
  }

  static QK_INLINE float group_scale(const Block& block, int) {
    return half_to_float(block.d.get());
  }
};

}  // namespace qk
