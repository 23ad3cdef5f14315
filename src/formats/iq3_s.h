// IQ3_S: a superblock of 256 weights; 8 groups of 32, each 8 rows of 4 of a grid of 512.
//
//   byte   0..1     d       binary16
//          2..65    qs      bits 0..7 of 64 grid indices
//          66..73   qh      bit i of byte j: bit 8 of index 8j + i
//          74..105  signs   8 signs a byte
//          106..109 scales  byte j: scale of group 2j in the low nibble, of 2j + 1 in the high one
//   weight = d * (1 + 2 * scale) * (+-grid)
//   integer = +-grid: 1, 3, .. 15
#pragma once

#include "core/half.h"
#include "core/unaligned.h"
#include "formats/format.h"
#include "formats/grid_panel.h"
#include "formats/grid_tables.h"
#include "formats/iq.h"
#include "formats/octets.h"

namespace qk {

struct IQ3_S : Quantised<QuantRange{.most = 126, .bias = kIqBias}>,
               SignedGrid<IQ3_S>,
               GridPanels<IQ3_S, 32> {
  static constexpr FormatInfo kInfo{.name = "iq3_s",
                                    .gguf_id = 21,
                                    .file_type = 26,
                                    .block = 256,
                                    .bytes = 110,
                                    .integers = "the signed grid value, odd: +-1 to +-15"};
  static constexpr float kScaleUnit = 1.0f;
  static QK_INLINE constexpr const auto& grid() { return kIq3SGrid; }
  static constexpr int kCodeShift = 1;
  static constexpr auto& kCodeQuants = kIq3SCodeQuants;
  struct Block {
    U16 d;
    uint8_t qs[64];
    uint8_t qh[8];
    uint8_t signs[32];
    uint8_t scales[4];
  };
  static_assert(sizeof(Block) == kInfo.bytes && alignof(Block) == 1);

  static QK_INLINE uint32_t index(const Block& block, int i) {
    const uint32_t high = block.qh[i / 8] >> (i % 8) & 1u;
    return block.qs[i] | high << 8;
  }
  static QK_INLINE uint32_t signs(const Block& block, int g) {
    return load_u32(block.signs + 4 * g);
  }
  static QK_INLINE uint64_t scale_codes(const Block& block, int) {
    return spread_nibbles(load_u32(block.scales));
  }

  static QK_INLINE void put_index(Block& block, int i, uint32_t index) {
    block.qs[i] = static_cast<uint8_t>(index);
    block.qh[i / 8] |= static_cast<uint8_t>(index >> 8 << (i % 8));
  }
  static QK_INLINE void put_signs(Block& block, int e, uint32_t signs) {
    block.signs[e] = static_cast<uint8_t>(signs);
  }
  static QK_INLINE void put_scale(Block& block, int g, uint32_t code) {
    block.scales[g / 2] |= static_cast<uint8_t>(code << (4 * (g % 2)));
  }

  static QK_INLINE float group_scale(const Block& block, int g) {
    const int scale = block.scales[g / 2] >> (4 * (g % 2)) & 15;
    return half_to_float(block.d.get()) * static_cast<float>(1 + 2 * scale);
  }
  static QK_INLINE void set_scales_to_one(Block& block) {
    block.d.set(kHalfOne);
    __builtin_memset(block.scales, 0, sizeof(block.scales));
  }
};

}  // namespace qk
