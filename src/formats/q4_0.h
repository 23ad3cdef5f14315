// Q4_0: 32 weights a block, 4 bits each, one scale.
//
//   byte   0..1   d    binary16
//          2..17  qs   byte j: weight j in the low nibble, weight j + 16 in the high one
//   weight[i] = d * (quant[i] - 8)
//   integer = quant[i] - 8
#pragma once

#include "core/half.h"
#include "core/unaligned.h"
#include "formats/format.h"
#include "formats/panel.h"

namespace qk {

struct Q4_0 {
  static constexpr FormatInfo kInfo{"q4_0", 2, 32, 18};
  static constexpr bool kFloat = false;
  static constexpr int kGroup = 32;
  static constexpr int kMinGroup = 32;
  static constexpr int kMaxQuant = 15;
  static constexpr int kBias = 8;
  static constexpr int kZero = kBias;
  static constexpr bool kHasMin = false;
  struct Block {
    U16 d;
    uint8_t qs[16];
  };
  static_assert(sizeof(Block) == kInfo.bytes && alignof(Block) == 1);
  static constexpr PanelElements kPanel[kMostPanelElements] = {{2, 1}, {4, 4}};

  static QK_INLINE void decode(const Block& block, float* out) {
    const float d = half_to_float(block.d.get());
    for (int j = 0; j < 16; ++j) {
      out[j] = d * static_cast<float>((block.qs[j] & 15) - 8);
      out[j + 16] = d * static_cast<float>((block.qs[j] >> 4) - 8);
    }
  }

  static QK_INLINE void set_scales_to_one(Block& block) { block.d.set(kHalfOne); }
  static QK_INLINE ScaleAndMin scale_and_min(const Block& block, int) {
    return {half_to_float(block.d.get()), 0.0f};
  }

  template <class I>
  static QK_INLINE typename I::Quants quants(const Block* unit, int step) {
    constexpr int kBlocks = I::kStep / 32;
    return I::template nibbles_of_32<sizeof(Block)>(unit[step * kBlocks].qs);
  }

  template <class I>
  static QK_INLINE void scales(const Block* unit, PerGroup<I, kGroup>& scale,
                               PerGroup<I, kMinGroup>&) {
    scale.v[0] = I::template halves<sizeof(Block)>(&unit->d);
  }

  template <class I>
  static QK_INLINE typename I::Words panel_quants(PanelBlock<I> block, int quad) {
    return block.nibbles_of_32(2, quad);
  }

  template <class I>
  static QK_INLINE typename I::Floats panel_scale(PanelBlock<I> block, int) {
    return block.half(0);
  }
};

}  // namespace qk
