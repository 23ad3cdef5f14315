// IQ2_XXS: a superblock of 256 weights; 8 groups of 32, each 4 rows of a grid of 256.
//
//   byte   0..1   d    binary16
//          2..65  qs   8 bytes a group: 4 grid indices of 8 bits, then 32 bits: 4 x 7 signs (the
//                      eighth makes their number even), and the group's scale in the highest 4
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

struct IQ2_XXS : Quantised<QuantRange{.most = 126, .bias = kIqBias}>,
                 SignedGrid<IQ2_XXS>,
                 GridPanels<IQ2_XXS, 32> {
  static constexpr FormatInfo kInfo{.name = "iq2_xxs",
                                    .gguf_id = 16,
                                    .file_type = 19,
                                    .block = 256,
                                    .bytes = 66,
                                    .integers = "the signed grid value: +-8, +-25 or +-43"};
  static constexpr float kScaleUnit = 0.125f;
  static QK_INLINE constexpr const auto& grid() { return kIq2XxsGrid; }
  static constexpr int kCodeShift = 3;
  static constexpr auto& kCodeQuants = kIq2CodeQuants;
  struct Block {
    U16 d;
    struct {
      uint8_t rows[4];
      Unaligned<uint32_t> signs_and_scale;
    } groups[8];
  };
  static_assert(sizeof(Block) == kInfo.bytes && alignof(Block) == 1);

  static QK_INLINE uint32_t index(const Block& block, int i) {
    return block.groups[i / 4].rows[i % 4];
  }
  static QK_INLINE uint32_t signs(const Block& block, int g) {
    return spread_signs(block.groups[g].signs_and_scale.get());
  }
  static QK_INLINE uint64_t scale_codes(const Block& block, int) {
    uint64_t codes = 0;
    for (int g = 0; g < 8; ++g) {
      codes |= static_cast<uint64_t>(block.groups[g].signs_and_scale.get() >> 28) << (8 * g);
    }
    return codes;
  }

  static QK_INLINE void put_index(Block& block, int i, uint32_t index) {
    block.groups[i / 4].rows[i % 4] = static_cast<uint8_t>(index);
  }
  static QK_INLINE void put_signs(Block& block, int e, uint32_t signs) {
    auto& word = block.groups[e / 4].signs_and_scale;
    word.set(word.get() | (signs & 0x7f) << (7 * (e % 4)));
  }
  static QK_INLINE void put_scale(Block& block, int g, uint32_t code) {
    auto& word = block.groups[g].signs_and_scale;
    word.set(word.get() | code << 28);
  }

  static QK_INLINE float group_scale(const Block& block, int g) {
    const auto scale = static_cast<float>(block.groups[g].signs_and_scale.get() >> 28);
    return half_to_float(block.d.get()) * (0.5f + scale) * 0.25f;
  }
  static QK_INLINE void set_scales_to_one(Block& block) {
    block.d.set(kHalfEight);
    for (auto& group : block.groups) {
      group.signs_and_scale.set(group.signs_and_scale.get() & 0x0fffffff);
    }
  }
};

}  // namespace qk
