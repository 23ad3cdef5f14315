// IQ3_XXS: a superblock of 256 weights; 8 groups of 32, each 8 rows of 4 of a grid of 256.
//
//   byte   0..1   d                binary16
//          2..65  qs               64 grid indices
//          66..97 signs_and_scale  32 bits a group: 4 x 7 signs (the eighth makes their number
//                                  even), and the group's scale in the highest 4
//   weight = d * (0.5 + scale) / 2 * (+-grid)
//   integer = +-grid: 4, 12, 20, 28, 36, 44, 52 or 62
#pragma once

#include "core/half.h"
#include "core/unaligned.h"
#include "formats/format.h"
#include "formats/grid_panel.h"
#include "formats/grid_tables.h"
#include "formats/iq.h"
#include "formats/octets.h"

namespace qk {

struct IQ3_XXS : Quantised<QuantRange{.most = 126, .bias = kIqBias}>,
                 SignedGrid<IQ3_XXS>,
                 GridPanels<IQ3_XXS, 32> {
  static constexpr FormatInfo kInfo{
      .name = "iq3_xxs",
      .gguf_id = 18,
      .file_type = 23,
      .block = 256,
      .bytes = 98,
      .integers = "the signed grid value: +-4, +-12, +-20, +-28, +-36, +-44, +-52 or +-62"};
  static constexpr float kScaleUnit = 0.25f;
  static QK_INLINE constexpr const auto& grid() { return kIq3XxsGrid; }
  static constexpr int kCodeShift = 3;
  static constexpr auto& kCodeQuants = kIq3XxsCodeQuants;
  struct Block {
    U16 d;
    uint8_t qs[64];
    Unaligned<uint32_t> signs_and_scale[8];
  };
  static_assert(sizeof(Block) == kInfo.bytes && alignof(Block) == 1);

  static QK_INLINE uint32_t index(const Block& block, int i) { return block.qs[i]; }
  static QK_INLINE uint32_t signs(const Block& block, int g) {
    return spread_signs(block.signs_and_scale[g].get());
  }
  static QK_INLINE uint64_t scale_codes(const Block& block, int) {
    uint64_t codes = 0;
    for (int g = 0; g < 8; ++g) {
      codes |= static_cast<uint64_t>(block.signs_and_scale[g].get() >> 28) << (8 * g);
    }
    return codes;
  }

  static QK_INLINE void put_index(Block& block, int i, uint32_t index) {
    block.qs[i] = static_cast<uint8_t>(index);
  }
  static QK_INLINE void put_signs(Block& block, int e, uint32_t signs) {
    auto& word = block.signs_and_scale[e / 4];
    word.set(word.get() | (signs & 0x7f) << (7 * (e % 4)));
  }
  static QK_INLINE void put_scale(Block& block, int g, uint32_t code) {
    auto& word = block.signs_and_scale[g];
    word.set(word.get() | code << 28);
  }

  static QK_INLINE float group_scale(const Block& block, int g) {
    const auto scale = static_cast<float>(block.signs_and_scale[g].get() >> 28);
    return half_to_float(block.d.get()) * (0.5f + scale) * 0.5f;
  }
  static QK_INLINE void set_scales_to_one(Block& block) {
    block.d.set(kHalfFour);
    for (auto& word : block.signs_and_scale) word.set(word.get() & 0x0fffffff);
  }
};

}  // namespace qk
