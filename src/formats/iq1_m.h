// IQ1_M: a superblock of 256 weights; 16 groups of 16, each 2 rows of iq1_s's grid.
//
//   byte   0..31  qs      bits 0..7 of 32 grid indices
//          32..47 qh      a nibble a row: bits 8..10 of its index, the sign of its delta in bit 3
//          48..55 scales  4 words: 4 scales of 3 bits each, and in the highest 4 bits a quarter of
//                         d, a binary16, the first word's lowest
//   weight = d * (2 * scale + 1) * (grid +- 1/8); as an integer, 8 * grid +- 1 at an eighth of that
//   integer = 8 * grid +- 1, -9 .. 9
#pragma once

#include "core/half.h"
#include "core/unaligned.h"
#include "formats/format.h"
#include "formats/grid_panel.h"
#include "formats/grid_tables.h"
#include "formats/iq.h"
#include "formats/octets.h"

namespace qk {

struct IQ1_M : Quantised<QuantRange{.most = 25, .bias = kIq1Bias, .group = 16}>,
               Iq1Grid<IQ1_M>,
               GridPanels<IQ1_M, 16> {
  static constexpr FormatInfo kInfo{
      .name = "iq1_m",
      .gguf_id = 29,
      .file_type = 31,
      .block = 256,
      .bytes = 56,
      .integers = "8 * grid +- 1, the grid being -1, 0 or 1 and the sign delta's: -9 to 9"};
  static constexpr float kScaleUnit = 0.125f;
  struct Block {
    uint8_t qs[32];
    uint8_t qh[16];
    U16 scales[4];
  };
  static_assert(sizeof(Block) == kInfo.bytes && alignof(Block) == 1);

  static QK_INLINE uint32_t index(const Block& block, int i) {
    const uint32_t high = block.qh[i / 2] >> (4 * (i % 2)) & 7u;
    return block.qs[i] | high << 8;
  }
  static QK_INLINE uint32_t has_minus(const Block& block, int e) {
    return block.qh[e / 2] >> (4 * (e % 2) + 3) & 1u;
  }
  static QK_INLINE uint64_t scale_codes(const Block& block, int v) {
    uint64_t codes = 0;
    for (int i = 0; i < 8; ++i) {
      const uint64_t word = block.scales[2 * v + i / 4].get();
      codes |= (word >> (3 * (i % 4)) & 7) << (8 * i);
    }
    return codes;
  }
  static QK_INLINE uint16_t d_bits(const Block& block) {
    int d = 0;
    for (int i = 0; i < 4; ++i) d |= (block.scales[i].get() & 0xf000) >> (12 - 4 * i);
    return static_cast<uint16_t>(d);
  }

  static QK_INLINE void put_index(Block& block, int i, uint32_t index) {
    block.qs[i] = static_cast<uint8_t>(index);
    block.qh[i / 2] |= static_cast<uint8_t>(index >> 8 << (4 * (i % 2)));
  }
  static QK_INLINE void put_signs(Block& block, int e, uint32_t signs) {
    block.qh[e / 2] |= static_cast<uint8_t>((signs & 1) << (4 * (e % 2) + 3));
  }
  static QK_INLINE void put_scale(Block& block, int g, uint32_t code) {
    U16& word = block.scales[g / 4];
    word.set(static_cast<uint16_t>(word.get() | code << (3 * (g % 4))));
  }
  static QK_INLINE void put_d(Block& block, uint16_t bits) {
    for (int i = 0; i < 4; ++i) {
      U16& word = block.scales[i];
      word.set(static_cast<uint16_t>(word.get() | (bits >> (4 * i) & 15) << 12));
    }
  }

  static QK_INLINE float group_scale(const Block& block, int g) {
    const int scale = block.scales[g / 4].get() >> (3 * (g % 4)) & 7;
    return half_to_float(d_bits(block)) * static_cast<float>(2 * scale + 1) * 0.125f;
  }
  static QK_INLINE void set_scales_to_one(Block& block) {
    for (U16& word : block.scales) word.set(0);
    put_d(block, kHalfEight);
  }
};

}  // namespace qk
