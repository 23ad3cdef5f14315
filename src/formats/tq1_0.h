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
#include "formats/panel.h"

namespace qk {

// 3^n for the digit n of its byte that each weight is.
struct TritPowers {
  uint8_t of[256] = {};
  constexpr TritPowers() {
    constexpr uint8_t kPowers[5] = {1, 3, 9, 27, 81};
    for (int w = 0; w < 160; ++w) of[w] = kPowers[w / 32];
    for (int w = 160; w < 240; ++w) of[w] = kPowers[(w - 160) / 16];
    for (int w = 240; w < 256; ++w) of[w] = kPowers[(w - 240) / 4];
  }
};
constexpr TritPowers kTritPowers;

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
  static constexpr PanelElements kPanel[kMostPanelElements] = {{4, 13}, {2, 1}};

  // The bytes that hold the e-th eight weights, in their order. What the words have in common is
  // kept from GCC, which would put them together in memory: a wide load waits for narrow stores.
  static QK_INLINE uint64_t row(const Block& block, int e) {
    uint64_t bytes;
    if (e < 20) {
      __builtin_memcpy(&bytes, block.qs + 8 * (e % 4), sizeof(bytes));
    } else if (e < 30) {
      __builtin_memcpy(&bytes, block.qs + 32 + 8 * (e % 2), sizeof(bytes));
    } else {
      uint32_t four;
      __builtin_memcpy(&four, block.qh, sizeof(four));
      bytes = four * 0x100000001u;
    }
    // NOLINTNEXTLINE(portability-no-assembler): an empty one
    asm("" : "+r"(bytes));
    return bytes;
  }

  static QK_INLINE uint64_t octet(const Block& block, int e) {
    const uint64_t bytes = row(block, e);
    uint64_t quants = 0;
    for (int i = 0; i < 8; ++i) {
      const auto rest = static_cast<uint8_t>((bytes >> (8 * i)) * kTritPowers.of[8 * e + i]);
      quants |= static_cast<uint64_t>(rest * 3 >> 8) << (8 * i);
    }
    return quants;
  }

  template <class I>
  static QK_INLINE typename I::Quants finish(typename I::Quants rows, const Block*, int step) {
    return I::digits_of_3(rows, I::load_quants(kTritPowers.of + I::kStep * step));
  }

  template <class I>
  static QK_INLINE void scales(const Block* unit, PerGroup<I, kGroup>& scale,
                               PerGroup<I, kMinGroup>&) {
    scale.v[0] = I::broadcast8(I::half(unit->d.get()));
  }

  static QK_INLINE float group_scale(const Block& block, int) {
    return half_to_float(block.d.get());
  }

  // Digit n of the words that hold it: 8 words of 5 digits, 4 words of 5, and one of 4.
  template <class I>
  static QK_INLINE typename I::Words panel_quants(PanelBlock<I> block, int quad) {
    int at = 12;
    if (quad < 40) {
      at = quad % 8;
    } else if (quad < 60) {
      at = 8 + quad % 4;
    }
    return I::digits_of_bytes(block.word(4 * at), kTritPowers.of[4 * quad]);
  }

  template <class I>
  static QK_INLINE typename I::Floats panel_scale(PanelBlock<I> block, int) {
    return block.half(52);
  }
};

}  // namespace qk
