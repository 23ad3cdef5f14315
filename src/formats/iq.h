// What the IQ formats share: grids of magnitudes, signs, and scales that are odd numbers.
//
// A grid format gives, beside what formats/octets.h asks for,
//   grid(), index(block, i)  its grid, and the i-th of the block's rows there, each of 8 or 4
//   weights signs(block, g)         the signs of the g-th 32 weights, a bit each, set for minus; or
//   for iq1 has_minus(block, e)     whether the e-th eight weights have a negative delta, 0 or 1
//   scale_codes(block, v)   the codes of the v-th eight scales, a byte each; a scale is
//                           d * kScaleUnit * (2 * code + 1)
// and d_bits(block), the bits of d, where no field `d` of the block has them.
#pragma once

#include <cstdint>

#include "core/macros.h"
#include "formats/grid_panel.h"
#include "formats/grid_tables.h"
#include "formats/octets.h"

namespace qk {

constexpr int kIqBias = 64;  // magnitudes reach 62

// An eighth sign above each seven bits, in every byte of a word: it makes their number even.
template <class Word>
QK_INLINE Word with_even_signs(Word sevens) {
  Word parity = sevens ^ sevens >> 4;  // only the lowest bit of a byte matters, and what it takes
  parity ^= parity >> 2;
  parity ^= parity >> 1;
  return sevens | (parity & static_cast<Word>(kOneEach)) << 7;
}

// Four sets of seven signs in 28 bits, lowest first, to 32 signs.
QK_INLINE uint32_t spread_signs(uint32_t sevens) {
  return with_even_signs((sevens & 0x7f) | (sevens & 0x3f80) << 1 | (sevens & 0x1fc000) << 2 |
                         (sevens & 0xfe00000) << 3);
}

// Eight bytes 64 + m or, where the sign bit is set, 64 - m: no byte carries or borrows.
QK_INLINE uint64_t signed_quants(uint64_t magnitudes, uint32_t signs) {
  constexpr uint64_t kOneBitEach = 0x8040201008040201;
  constexpr uint64_t kBias = kOneEach * kIqBias;
  const uint64_t picked = (kOneEach * (signs & 255)) & kOneBitEach;  // byte i: 0, or bit i
  const uint64_t negative = ((picked + kOneEach * 0x7f) >> 7 & kOneEach) * 0xff;
  const uint64_t plus = kBias + magnitudes;
  const uint64_t minus = kBias - magnitudes;
  return (plus & ~negative) | (minus & negative);
}

template <class F>
struct OddScales {
  template <class Block>
  static QK_INLINE uint16_t d_bits(const Block& block) {
    return block.d.get();
  }
  template <class Block>
  static QK_INLINE void put_d(Block& block, uint16_t bits) {
    block.d.set(bits);
  }

  template <class I, class Block, int kGroup, int kMinGroup>
  static QK_INLINE void scales(const Block* unit, PerGroup<I, kGroup>& scale,
                               PerGroup<I, kMinGroup>&) {
    const auto d = I::broadcast8(I::half(F::d_bits(*unit)) * F::kScaleUnit);
    for (int v = 0; v < scale.kVectors; ++v) {
      scale.v[v] = I::mul8(d, I::bytes8(2 * F::scale_codes(*unit, v) + kOneEach));
    }
  }
};

template <class F>
struct SignedGrid : Octets<F>, OddScales<F> {
  template <class Block>
  static QK_INLINE uint64_t row(const Block& block, int e) {
    if constexpr (sizeof(F::grid()[0]) == 8) {
      return F::grid()[F::index(block, e)];
    } else {
      const uint64_t second = F::grid()[F::index(block, 2 * e + 1)];
      return F::grid()[F::index(block, 2 * e)] | second << 32;
    }
  }

  template <class Block>
  static QK_INLINE uint64_t octet(const Block& block, int e) {
    return signed_quants(F::row(block, e), F::signs(block, e / 4) >> (8 * (e % 4)));
  }

  template <class I, class Block>
  static QK_INLINE typename I::Quants finish(typename I::Quants rows, const Block* unit, int step) {
    const uint64_t first = F::signs(*unit, I::kStep / 32 * step);
    if constexpr (I::kStep == 32) {
      return I::template apply_signs<kIqBias>(rows, first);
    } else {
      const uint64_t second = F::signs(*unit, 2 * step + 1);
      return I::template apply_signs<kIqBias>(rows, first | second << 32);
    }
  }
};

constexpr int kIq1Bias = 16;

// The quants of iq1 are whole numbers as they come from the grid: 16 + 8 * grid + 1, or with a
// negative delta - 1.
template <class F>
struct Iq1Grid : Octets<F>, OddScales<F> {
  static QK_INLINE constexpr const auto& grid() { return kIq1Grid; }
  static constexpr int kCodeShift = 0;
  static constexpr auto& kCodeQuants = kIq1CodeQuants;

  template <class Block>
  static QK_INLINE uint64_t row(const Block& block, int e) {
    // The grid holds value + 1: 8 * (value + 1) + 8 +- 1, at most 25.
    const uint64_t delta = F::has_minus(block, e) != 0 ? 7 : 9;
    return 8 * F::grid()[F::index(block, e)] + kOneEach * delta;
  }

  // Of the deltas of the g-th 32 weights, a bit each.
  template <class Block>
  static QK_INLINE uint32_t signs(const Block& block, int g) {
    uint32_t signs = 0;
    for (int i = 0; i < 4; ++i) signs |= F::has_minus(block, 4 * g + i) * 255 << (8 * i);
    return signs;
  }

  template <class Block>
  static QK_INLINE uint64_t octet(const Block& block, int e) {
    return F::row(block, e);
  }

  template <class I, class Block>
  static QK_INLINE typename I::Quants finish(typename I::Quants rows, const Block*, int) {
    return rows;
  }
};

}  // namespace qk
