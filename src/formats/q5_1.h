// Q5_1: 32 weights a block, 5 bits each, a scale and a min.
//
//   byte   0..1   d    binary16
//          2..3   m    binary16
//          4..7   qh   bit i: bit 4 of weight i
//          8..23  qs   byte j: bits 0..3 of weight j in the low nibble, of weight j + 16 in the
//          high
//   weight[i] = d * quant[i] + m
//   integer = quant[i] - 16
#pragma once

#include "core/half.h"
#include "core/unaligned.h"
#include "formats/format.h"
#include "formats/panel.h"

namespace qk {

struct Q5_1 {
  static constexpr FormatInfo kInfo{"q5_1", 7, 32, 24};
  static constexpr bool kFloat = false;
  static constexpr int kGroup = 32;
  static constexpr int kMinGroup = 32;
  static constexpr int kMaxQuant = 31;
  static constexpr int kBias = 0;
  static constexpr int kZero = 16;
  static constexpr bool kHasMin = true;
  struct Block {
    U16 d;
    U16 m;
    uint8_t qh[4];
    uint8_t qs[16];
  };
  static_assert(sizeof(Block) == kInfo.bytes && alignof(Block) == 1);
  static constexpr PanelElements kPanel[kMostPanelElements] = {
      {2, 2}, {4, 1, PanelElements::kBits}, {4, 4}};

  static QK_INLINE void decode(const Block& block, float* out) {
    const float d = half_to_float(block.d.get());
    const float m = half_to_float(block.m.get());
    for (int i = 0; i < 32; ++i) {
      const int low = i < 16 ? block.qs[i] & 15 : block.qs[i - 16] >> 4;
      const int high = (block.qh[i / 8] >> (i % 8)) & 1;
      out[i] = d * static_cast<float>(low | high << 4) + m;
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
    const Block* blocks = unit + step * (I::kStep / 32);
    return I::template combine<4>(I::template nibbles_of_32<sizeof(Block)>(blocks->qs),
                                  I::template bits_of_32<sizeof(Block)>(blocks->qh));
  }

  template <class I>
  static QK_INLINE void scales(const Block* unit, PerGroup<I, kGroup>& scale,
                               PerGroup<I, kMinGroup>& min) {
    scale.v[0] = I::template halves<sizeof(Block)>(&unit->d);
    min.v[0] = I::template halves<sizeof(Block)>(&unit->m);
  }

  template <class I>
  static QK_INLINE typename I::Words panel_quants(PanelBlock<I> block, int quad) {
    const auto high = I::shift_left(block.bits_of_32(4, quad), 4);
    return I::or_words(block.nibbles_of_32(8, quad), high);
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
