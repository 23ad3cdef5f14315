// IQ1_S: a superblock of 256 weights; 8 groups of 32, each 4 rows of a grid of 2048 of -1, 0, 1.
//
//   byte   0..1   d    binary16
//          2..33  qs   bits 0..7 of 32 grid indices
//          34..49 qh   16 bits a group: bits 8..10 of its 4 indices, the scale in bits 12..14, the
//                      sign of delta in bit 15
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

struct IQ1_S : Quantised<QuantRange{.most = 25, .bias = kIq1Bias}>,
               Iq1Grid<IQ1_S>,
               GridPanels<IQ1_S, 32> {
  static constexpr FormatInfo kInfo{
      .name = "iq1_s",
      .gguf_id = 19,
      .file_type = 24,
      .block = 256,
      .bytes = 50,
      .integers = "8 * grid +- 1, the grid being -1, 0 or 1 and the sign delta's: -9 to 9"};
  static constexpr float kScaleUnit = 0.125f;
  struct Block {
    U16 d;
    uint8_t qs[32];
    U16 qh[8];
  };
  static_assert(sizeof(Block) == kInfo.bytes && alignof(Block) == 1);

  static QK_INLINE uint32_t index(const Block& block, int i) {
    const uint32_t high = block.qh[i / 4].get();
    return block.qs[i] | (high >> (3 * (i % 4)) & 7) << 8;
  }
  static QK_INLINE uint32_t has_minus(const Block& block, int e) {
    return block.qh[e / 4].get() >> 15;
  }
  static QK_INLINE uint64_t scale_codes(const Block& block, int) {
    uint64_t codes = 0;
    for (int g = 0; g < 8; ++g) {
      codes |= static_cast<uint64_t>(block.qh[g].get() >> 12 & 7) << (8 * g);
    }
    return codes;
  }

  static QK_INLINE void put_index(Block& block, int i, uint32_t index) {
    block.qs[i] = static_cast<uint8_t>(index);
    U16& high = block.qh[i / 4];
    high.set(static_cast<uint16_t>(high.get() | index >> 8 << (3 * (i % 4))));
  }
  static QK_INLINE void put_signs(Block& block, int e, uint32_t signs) {
    U16& high = block.qh[e / 4];
    high.set(static_cast<uint16_t>(high.get() | (signs & 1) << 15));
  }
  static QK_INLINE void put_scale(Block& block, int g, uint32_t code) {
    block.qh[g].set(static_cast<uint16_t>(block.qh[g].get() | code << 12));
  }

  static QK_INLINE float group_scale(const Block& block, int g) {
    const int scale = block.qh[g].get() >> 12 & 7;
    return half_to_float(block.d.get()) * static_cast<float>(2 * scale + 1) * 0.125f;
  }
  static QK_INLINE void set_scales_to_one(Block& block) {
    block.d.set(kHalfEight);
    for (U16& high : block.qh) high.set(high.get() & 0x8fff);
  }
};

}  // namespace qk
