// Q4_1: 32 weights a block, 4 bits each, a scale and a min.
//
//   byte   0..1   d    binary16
//          2..3   m    binary16
//          4..19  qs   byte j: weight j in the low nibble, weight j + 16 in the high one
//   weight[i] = d * quant[i] + m
//   integer = quant[i] - 8
#pragma once

#include "core/half.h"
#include "core/unaligned.h"
#include "formats/format.h"
#include "formats/panel.h"

namespace qk {

struct Q4_1 {
  static constexpr FormatInfo kInfo{"q4_1", 3, 32, 20};
  static constexpr bool kFloat = false;
  static constexpr int kGroup = 32;
  static constexpr int kMinGroup = 32;
  static constexpr int kMaxQuant = 15;
  static constexpr int kBias = 0;
  static constexpr int kZero = 8;
  static constexpr bool kHasMin = true;
  struct Block {
    U16 d;
    U16 m;
    uint8_t qs[16];
  };
  static_assert(sizeof(Block) == kInfo.bytes && alignof(Block) == 1);
  static constexpr PanelElements kPanel[kMostPanelElements] = {{2, 2}, {4, 4}};

  static QK_INLINE void decode(const Block& block, float* out) {
    const float d = half_to_float(block.d.get());
    const float m = half_to_float(block.m.get());
    for (int j = 0; j < 16; ++j) {
      out[j] = d * static_cast<float>(block.qs[j] & 15) + m;
      out[j + 16] = d * static_cast<float>(block.qs[j] >> 4) + m;
    }
  }

  static QK_INLINE void set_scales_to_one(Block& block) {
    block.d.set(kHalfOne);
    block.m.set(0);
  }
  static QK_INLINE ScaleAndMin scale_and_min(const Block& block, int) {
    return {half_to_float(block.d.get()), half_to_float(block.m.get())};
  }

  template <class I>
  static QK_INLINE typename I::Quants quants(const Block* unit, int step) {
    constexpr int kBlocks = I::kStep / 32;
    return I::template nibbles_of_32<sizeof(Block)>(unit[step * kBlocks].qs);
  }

  template <class I>
  static QK_INLINE void scales(const Block* unit, PerGroup<I, kGroup>& scale,
                               PerGroup<I, kMinGroup>& min) {
    scale.v[0] = I::template halves<sizeof(Block)>(&unit->d);
    min.v[0] = I::template halves<sizeof(Block)>(&unit->m);
  }

  template <class I>
  static QK_INLINE typename I::Words panel_quants(PanelBlock<I> block, int quad) {
    return block.nibbles_of_32(4, quad);
  }

  template <class I>
  static QK_INLINE typename I::Floats panel_scale(PanelBlock<I> block, int) {
    return block.half(0);
  }

  template <class I>
  static QK_INLINE typename I::Floats panel_min(PanelBlock<I> block, int) {
    return block.half(2);
  }
};

}  // namespace qk
