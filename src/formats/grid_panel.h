// Panels of the grid formats: recoded when they are packed, as no idiom looks up a grid for every
// row of a panel.
//
// A weight takes one of at most 16 values: one of eight quants or fewer, which three bits of a
// grid's byte tell apart, with one of two signs (of itself, or of iq1's delta). A block of 256
// weights becomes
//
//   byte   0..1    d       binary16
//          2..     scales  2 * scale + 1, a byte a group: 8 or 16
//          then    codes   byte i of word w: code of weight 8 w + i in the low nibble, of weight
//                          8 w + i + 4 in the high one; the sign is a code's highest bit
//
// which is 1.25 to 2.8 times as large, and multiplied as fast as other codes of four bits.
// A format derives from GridPanels<itself, its kGroup> and gives, beside what formats/iq.h asks
// for,
//   kCodeShift, kCodeQuants      the lowest of the three bits; the quant of each code, or 0
//   put_index(block, i, index), put_signs(block, e, signs), put_scale(block, g, code)
//                                the i-th index, the e-th eight signs and the g-th scale into a
//                                block that has zeros there
#pragma once

#include <cstdint>

#include "core/macros.h"
#include "core/unaligned.h"
#include "formats/format.h"
#include "formats/octets.h"
#include "formats/panel.h"

namespace qk {

constexpr uint8_t kIq1CodeQuants[16] = {9, 17, 25, 0, 0, 0, 0, 0, 7, 15, 23, 0, 0, 0, 0, 0};
constexpr uint8_t kIq2CodeQuants[16] = {0, 72, 0, 89, 0, 107, 0, 0, 0, 56, 0, 39, 0, 21, 0, 0};
constexpr uint8_t kIq3XxsCodeQuants[16] = {68, 76, 84, 92, 100, 108, 116, 126,
                                           60, 52, 44, 36, 28,  20,  12,  2};
constexpr uint8_t kIq3SCodeQuants[16] = {65, 67, 69, 71, 73, 75, 77, 79,
                                         63, 61, 59, 57, 55, 53, 51, 49};

// A grid's rows as codes without signs, a byte each, and what a recoded block has of them.
template <class F>
struct GridCodes {
  static constexpr int kRows = sizeof(F::grid()) / sizeof(F::grid()[0]);
  static constexpr int kRowsPerOctet = 8 / sizeof(F::grid()[0]);
  uint32_t words[kRows] = {};

  static constexpr uint64_t codes(int row) {
    return F::grid()[row] >> F::kCodeShift & (7 * kOneEach);
  }

  constexpr GridCodes() {
    for (int row = 0; row < kRows; ++row) {
      words[row] = static_cast<uint32_t>(codes(row) | codes(row) >> 28);
    }
  }

  // The row with these codes. Rows ascend, so that each one has codes of its own.
  static constexpr int find(uint64_t wanted) {
    static_assert((kRows & (kRows - 1)) == 0 && ascend());
    int row = 0;
    for (int step = kRows / 2; step > 0; step /= 2) {
      row += codes(row + step) <= wanted ? step : 0;
    }
    return row;
  }

 private:
  static constexpr bool ascend() {
    for (int row = 1; row < kRows; ++row) {
      if (codes(row - 1) >= codes(row)) return false;
    }
    return true;
  }
};

// Eight signs, a bit each, to the highest bits of a word's codes.
struct SignCodes {
  uint32_t words[256] = {};

  constexpr SignCodes() {
    for (uint32_t signs = 0; signs < 256; ++signs) {
      for (uint32_t i = 0; i < 8; ++i) {
        words[signs] |= (signs >> i & 1) << (8 * (i % 4) + 4 * (i / 4) + 3);
      }
    }
  }
};

template <int kGroup>
struct RecodedGrid {
  U16 d;
  uint8_t scales[kUnit / kGroup];
  U32 codes[kUnit / 8];
};

template <class F, int kGroup>
struct GridPanels {
  using Recoded = RecodedGrid<kGroup>;
  static constexpr int kGroups = kUnit / kGroup;
  static constexpr PanelElements kPanel[kMostPanelElements] = {
      {2, 1}, {1, kGroups}, {4, kUnit / 8}};

  template <class I>
  static QK_INLINE typename I::Words panel_quants(PanelBlock<I> block, int quad) {
    return I::look_up_bytes(block.nibbles_of_8(2 + kGroups, quad), F::kCodeQuants);
  }

  template <class I>
  static QK_INLINE typename I::Floats panel_d(PanelBlock<I> block) {
    return I::fmul(block.half(0), I::broadcast(F::kScaleUnit));
  }

  template <class I>
  static QK_INLINE typename I::Floats panel_scale(PanelBlock<I> block, int g) {
    static_assert(F::kGroup == kGroup && F::kInfo.block == kUnit);
    return I::floats_of(block.u8(2 + g));
  }

  template <class Block>
  static QK_INLINE void recode(const Block& block, Recoded& to) {
    static constexpr GridCodes<F> kGrid;
    static constexpr SignCodes kSigns;
    QK_UNROLL(8)
    for (int g = 0; g < kUnit / 32; ++g) {
      const uint32_t signs = F::signs(block, g);
      uint32_t words[4];
      for (int i = 0; i < 4; ++i) {
        uint32_t word = kSigns.words[signs >> (8 * i) & 255];
        for (int r = 0; r < kGrid.kRowsPerOctet; ++r) {
          word |= kGrid.words[F::index(block, kGrid.kRowsPerOctet * (4 * g + i) + r)] << (4 * r);
        }
        words[i] = word;
      }
      __builtin_memcpy(to.codes + 4 * g, words, sizeof(words));
    }
    for (int v = 0; v < kGroups / 8; ++v) {
      const uint64_t scales = 2 * F::scale_codes(block, v) + kOneEach;
      __builtin_memcpy(to.scales + 8 * v, &scales, sizeof(scales));
    }
    to.d.set(F::d_bits(block));
  }

  template <class Block>
  static QK_INLINE void restore(const Recoded& from, Block& block) {
    using Grid = GridCodes<F>;
    block = {};
    for (int e = 0; e < kUnit / 8; ++e) {
      const uint64_t word = from.codes[e].get();
      const uint64_t codes = (word | word << 28) & (15 * kOneEach);
      for (int r = 0; r < Grid::kRowsPerOctet; ++r) {
        const uint64_t row = codes >> (32 * r) & (7 * kOneEach >> (64 - 64 / Grid::kRowsPerOctet));
        F::put_index(block, Grid::kRowsPerOctet * e + r, static_cast<uint32_t>(Grid::find(row)));
      }
      // The bit of byte i to bit 56 + i.
      const uint64_t signs = (codes >> 3 & kOneEach) * 0x0102040810204080 >> 56;
      F::put_signs(block, e, static_cast<uint32_t>(signs));
    }
    for (int g = 0; g < kGroups; ++g) F::put_scale(block, g, from.scales[g] / 2u);
    F::put_d(block, from.d.get());
  }
};

}  // namespace qk
