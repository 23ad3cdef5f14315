// IQ1_S: a superblock of 256 weights; 8 groups of 32, each 4 rows of a grid of 2048 of -1, 0, 1.
//
//   byte   0..1   d    binary16
//          2..33  qs   bits 0..7 of 32 grid indices
//          34..49 qh   16 bits a group: bits 8..10 of its 4 indices, the scale in bits 12..14, the
//                      sign of delta in bit 15
//   weight = d * (2 * scale + 1) * (grid +- 1/8); as an integer, 8 * grid +- 1 at an eighth of that
#pragma once

#include "core/half.h"
#include "core/unaligned.h"
#include "formats/format.h"
#include "formats/grid_tables.h"
#include "formats/iq.h"
#include "formats/octets.h"

namespace qk {

struct IQ1_S : Iq1Grid<IQ1_S> {
  static constexpr FormatInfo kInfo{"iq1_s", 19, 256, 50};
  static constexpr bool kFloat = false;
  static constexpr int kGroup = 32;
  static constexpr int kMinGroup = 32;
  static constexpr int kMaxQuant = 25;
  static constexpr int kBias = kIq1Bias;
  static constexpr bool kHasMin = false;
  static constexpr float kScaleUnit = 0.125f;
  struct Block {
    U16 d;
    uint8_t qs[32];
    U16 qh[8];
  };
  static_assert(sizeof(Block) == kInfo.bytes && alignof(Block) == 1);

  static QK_INLINE uint64_t row(const Block& block, int e) {
    const uint32_t high = block.qh[e / 4].get();
    const uint32_t row = block.qs[e] | (high >> (3 * (e % 4)) & 7) << 8;
    return iq1_quants(row, (high & 0x8000) != 0);
  }
  static QK_INLINE uint64_t scale_codes(const Block& block, int) {
    uint64_t codes = 0;
    for (int g = 0; g < 8; ++g) {
      codes |= static_cast<uint64_t>(block.qh[g].get() >> 12 & 7) << (8 * g);
    }
    return codes;
  }

  static QK_INLINE float group_scale(const Block& block, int g) {
    const int scale = block.qh[g].get() >> 12 & 7;
    return half_to_float(block.d.get()) * static_cast<float>(2 * scale + 1) * 0.125f;
  }
};

}  // namespace qk
