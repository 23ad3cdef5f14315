// IQ2_S: a superblock of 256 weights; 16 groups of 16, each 2 rows of a grid of 1024.
//
//   byte   0..1   d       binary16
//          2..33  qs      bits 0..7 of 32 grid indices
//          34..65 signs   8 signs a row
//          66..73 qh      byte j: bits 8..9 of indices 4j .. 4j + 3, lowest bits first
//          74..81 scales  byte j: scale of group 2j in the low nibble, of 2j + 1 in the high one
//   weight = d * (0.5 + scale) / 4 * (+-grid)
//   integer = +-grid: 8, 25 or 43
#pragma once

#include "core/half.h"
#include "core/unaligned.h"
#include "formats/format.h"
#include "formats/grid_panel.h"
#include "formats/grid_tables.h"
#include "formats/iq.h"
#include "formats/octets.h"

namespace qk {

struct IQ2_S : Quantised<QuantRange{.most = 126, .bias = kIqBias, .group = 16}>,
               SignedGrid<IQ2_S>,
               GridPanels<IQ2_S, 16> {
  static constexpr FormatInfo kInfo{.name = "iq2_s",
                                    .gguf_id = 22,
                                    .file_type = 29,
                                    .block = 256,
                                    .bytes = 82,
                                    .integers = "the signed grid value: +-8, +-25 or +-43"};
  static constexpr float kScaleUnit = 0.125f;
  static QK_INLINE constexpr const auto& grid() { return kIq2SGrid; }
  static constexpr int kCodeShift = 3;
  static constexpr auto& kCodeQuants = kIq2CodeQuants;
  struct Block {
    U16 d;
    uint8_t qs[32];
    uint8_t signs[32];
    uint8_t qh[8];
    uint8_t scales[8];
  };
  static_assert(sizeof(Block) == kInfo.bytes && alignof(Block) == 1);

  static QK_INLINE uint32_t index(const Block& block, int i) {
    const uint32_t high = block.qh[i / 4] >> (2 * (i % 4)) & 3u;
    return block.qs[i] | high << 8;
  }
  static QK_INLINE uint32_t signs(const Block& block, int g) {
    return load_u32(block.signs + 4 * g);
  }
  static QK_INLINE uint64_t scale_codes(const Block& block, int v) {
    return spread_nibbles(load_u32(block.scales + 4 * v));
  }

  static QK_INLINE void put_index(Block& block, int i, uint32_t index) {
    block.qs[i] = static_cast<uint8_t>(index);
    block.qh[i / 4] |= static_cast<uint8_t>(index >> 8 << (2 * (i % 4)));
  }
  static QK_INLINE void put_signs(Block& block, int e, uint32_t signs) {
    block.signs[e] = static_cast<uint8_t>(signs);
  }
  static QK_INLINE void put_scale(Block& block, int g, uint32_t code) {
    block.scales[g / 2] |= static_cast<uint8_t>(code << (4 * (g % 2)));
  }

  static QK_INLINE float group_scale(const Block& block, int g) {
    const auto scale = static_cast<float>(block.scales[g / 2] >> (4 * (g % 2)) & 15);
    return half_to_float(block.d.get()) * (0.5f + scale) * 0.25f;
  }
  static QK_INLINE void set_scales_to_one(Block& block) {
    block.d.set(kHalfEight);
    __builtin_memset(block.scales, 0, sizeof(block.scales));
  }
};

}  // namespace qk
