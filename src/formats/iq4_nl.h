// IQ4_NL: 32 weights a block, 4-bit codes of a fixed table of values, one scale.
//
//   byte   0..1   d    binary16
//          2..17  qs   byte j: code of weight j in the low nibble, of weight j + 16 in the high one
//   weight[i] = d * kIq4Values[code[i]]
//   integer = kIq4Values[code[i]], -127 .. 113 (the table holds 128 more)
#pragma once

#include "core/half.h"
#include "core/unaligned.h"
#include "formats/code_tables.h"
#include "formats/format.h"
#include "formats/panel.h"

namespace qk {

struct IQ4_NL {
  static constexpr FormatInfo kInfo{"iq4_nl", 20, 32, 18};
  static constexpr bool kFloat = false;
  static constexpr int kGroup = 32;
  static constexpr int kMinGroup = 32;
  static constexpr int kMaxQuant = 255;
  static constexpr int kBias = kIq4Bias;
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
      out[j] = d * static_cast<float>(kIq4Values[block.qs[j] & 15] - kBias);
      out[j + 16] = d * static_cast<float>(kIq4Values[block.qs[j] >> 4] - kBias);
    }
  }

  static QK_INLINE void set_scales_to_one(Block& block) { block.d.set(kHalfOne); }
  static QK_INLINE ScaleAndMin scale_and_min(const Block& block, int) {
    return {half_to_float(block.d.get()), 0.0f};
  }

  template <class I>
  static QK_INLINE typename I::Quants quants(const Block* unit, int step) {
    const Block* blocks = unit + step * (I::kStep / 32);
    return I::look_up(I::template nibbles_of_32<sizeof(Block)>(blocks->qs), kIq4Values);
  }

  template <class I>
  static QK_INLINE void scales(const Block* unit, PerGroup<I, kGroup>& scale,
                               PerGroup<I, kMinGroup>&) {
    scale.v[0] = I::template halves<sizeof(Block)>(&unit->d);
  }

  template <class I>
  static QK_INLINE typename I::Words panel_quants(PanelBlock<I> block, int quad) {
    return I::look_up_bytes(block.nibbles_of_32(2, quad), kIq4Values);
  }

  template <class I>
  static QK_INLINE typename I::Floats panel_scale(PanelBlock<I> block, int) {
    return block.half(0);
  }
};

}  // namespace qk
