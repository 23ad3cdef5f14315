// IQ2_XXS: a superblock of 256 weights; 8 groups of 32, each 4 rows of a grid of 256.
//
//   byte   0..1   d    binary16
//          2..65  qs   8 bytes a group: 4 grid indices of 8 bits, then 32 bits: 4 x 7 signs (the
//                      eighth makes their number even), and the group's scale in the highest 4
//   weight = d * (0.5 + scale) / 4 * (+-grid)
#pragma once

#include "core/half.h"
#include "core/unaligned.h"
#include "formats/format.h"
#include "formats/grid_tables.h"
#include "formats/iq.h"
#include "formats/octets.h"

namespace qk {

struct IQ2_XXS : Octets<IQ2_XXS> {
  static constexpr FormatInfo kInfo{"iq2_xxs", 16, 256, 66};
  static constexpr bool kFloat = false;
  static constexpr int kGroup = 32;
  static constexpr int kMinGroup = 32;
  static constexpr int kMaxQuant = 126;
  static constexpr int kBias = kIqBias;
  static constexpr bool kHasMin = false;
  struct Block {
    U16 d;
    struct {
      uint8_t rows[4];
      Unaligned<uint32_t> signs_and_scale;
    } groups[8];
  };
  static_assert(sizeof(Block) == kInfo.bytes && alignof(Block) == 1);

  static QK_INLINE uint64_t octet(const Block& block, int e) {
    const auto& group = block.groups[e / 4];
    const uint32_t signs = group.signs_and_scale.get() >> (7 * (e % 4)) & 127;
    return signed_quants(kIq2XxsGrid[group.rows[e % 4]], even_signs(signs));
  }

  static QK_INLINE float group_scale(const Block& block, int g) {
    const auto scale = static_cast<float>(block.groups[g].signs_and_scale.get() >> 28);
    return half_to_float(block.d.get()) * (0.5f + scale) * 0.25f;
  }
};

}  // namespace qk
