// IQ3_S: a superblock of 256 weights; 8 groups of 32, each 8 rows of 4 of a grid of 512.
//
//   byte   0..1     d       binary16
//          2..65    qs      bits 0..7 of 64 grid indices
//          66..73   qh      bit i of byte j: bit 8 of index 8j + i
//          74..105  signs   8 signs a byte
//          106..109 scales  byte j: scale of group 2j in the low nibble, of 2j + 1 in the high one
//   weight = d * (1 + 2 * scale) * (+-grid)
#pragma once

#include "core/half.h"
#include "core/unaligned.h"
#include "formats/format.h"
#include "formats/grid_tables.h"
#include "formats/iq.h"
#include "formats/octets.h"

namespace qk {

struct IQ3_S : SignedGrid<IQ3_S> {
  static constexpr FormatInfo kInfo{"iq3_s", 21, 256, 110};
  static constexpr bool kFloat = false;
  static constexpr int kGroup = 32;
  static constexpr int kMinGroup = 32;
  static constexpr int kMaxQuant = 126;
  static constexpr int kBias = kIqBias;
  static constexpr bool kHasMin = false;
  static constexpr float kScaleUnit = 1.0f;
  struct Block {
    U16 d;
    uint8_t qs[64];
    uint8_t qh[8];
    uint8_t signs[32];
    uint8_t scales[4];
  };
  static_assert(sizeof(Block) == kInfo.bytes && alignof(Block) == 1);

  static QK_INLINE uint64_t row(const Block& block, int e) {
    const int high = block.qh[e / 4] >> (2 * (e % 4));
    const uint64_t second = kIq3SGrid[block.qs[2 * e + 1] | (high & 2) << 7];
    return kIq3SGrid[block.qs[2 * e] | (high & 1) << 8] | second << 32;
  }
  static QK_INLINE uint32_t signs(const Block& block, int g) {
    return load_u32(block.signs + 4 * g);
  }
  static QK_INLINE uint64_t scale_codes(const Block& block, int) {
    return spread_nibbles(load_u32(block.scales));
  }

  static QK_INLINE float group_scale(const Block& block, int g) {
    const int scale = block.scales[g / 2] >> (4 * (g % 2)) & 15;
    return half_to_float(block.d.get()) * static_cast<float>(1 + 2 * scale);
  }
};

}  // namespace qk
