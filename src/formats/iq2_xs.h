// IQ2_XS: a superblock of 256 weights; 16 groups of 16, each 2 rows of a grid of 512.
//
//   byte   0..1   d       binary16
//          2..65  qs      32 words: grid index in the low 9 bits, 7 signs above (the eighth makes
//                         their number even)
//          66..73 scales  byte j: scale of group 2j in the low nibble, of 2j + 1 in the high one
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

struct IQ2_XS : Quantised<QuantRange{.most = 126, .bias = kIqBias, .group = 16}>,
                SignedGrid<IQ2_XS>,
                GridPanels<IQ2_XS, 16> {
  static constexpr FormatInfo kInfo{.name = "iq2_xs",
                                    .gguf_id = 17,
                                    .file_type = 20,
                                    .block = 256,
                                    .bytes = 74,
                                    .integers = "the signed grid value: +-8, +-25 or +-43"};
  static constexpr float kScaleUnit = 0.125f;
  static QK_INLINE constexpr const auto& grid() { return kIq2XsGrid; }
  static constexpr int kCodeShift = 3;
  static constexpr auto& kCodeQuants = kIq2CodeQuants;
  struct Block {
    U16 d;
    U16 qs[32];
    uint8_t scales[8];
  };
  static_assert(sizeof(Block) == kInfo.bytes && alignof(Block) == 1);

  static QK_INLINE uint32_t index(const Block& block, int i) { return block.qs[i].get() & 511u; }
  static QK_INLINE uint32_t signs(const Block& block, int g) {
    uint64_t words;
    __builtin_memcpy(&words, block.qs + 4 * g, sizeof(words));
    const uint64_t signs = with_even_signs(words >> 9 & 0x007f007f007f007f);
    const uint64_t pairs = (signs | signs >> 8) & 0x0000ffff0000ffff;
    return static_cast<uint32_t>(pairs | pairs >> 16);
  }
  static QK_INLINE uint64_t scale_codes(const Block& block, int v) {
    return spread_nibbles(load_u32(block.scales + 4 * v));
  }

  static QK_INLINE void put_index(Block& block, int i, uint32_t index) {
    block.qs[i].set(static_cast<uint16_t>(index));
  }
  static QK_INLINE void put_signs(Block& block, int e, uint32_t signs) {
    block.qs[e].set(static_cast<uint16_t>(block.qs[e].get() | (signs & 0x7f) << 9));
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
