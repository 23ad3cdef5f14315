// Q8_1: 32 weights a block, 8 bits each, one scale; ggml's own form of int8 activations.
//
//   byte   0..1   d    binary16
//          2..3   s    binary16, d * sum(qs): an aid to products, which decoding ignores
//          4..35  qs   int8 x 32
//   weight[i] = d * qs[i]
//   integer = qs[i]
#pragma once

#include "core/half.h"
#include "core/unaligned.h"
#include "formats/format.h"
#include "formats/panel.h"

namespace qk {

struct Q8_1 {
  static constexpr FormatInfo kInfo{"q8_1", 9, 32, 36};
  static constexpr bool kFloat = false;
  static constexpr int kGroup = 32;
  static constexpr int kMinGroup = 32;
  static constexpr int kMaxQuant = 255;
  static constexpr int kBias = 128;
  static constexpr int kZero = kBias;
  static constexpr bool kHasMin = false;
  struct Block {
    U16 d;
    U16 s;
    int8_t qs[32];
  };
  static_assert(sizeof(Block) == kInfo.bytes && alignof(Block) == 1);
  static constexpr PanelElements kPanel[kMostPanelElements] = {{2, 2}, {4, 8}};

  static QK_INLINE void decode(const Block& block, float* out) {
    const float d = half_to_float(block.d.get());
    for (int i = 0; i < 32; ++i) out[i] = d * static_cast<float>(block.qs[i]);
  }

  static QK_INLINE void set_scales_to_one(Block& block) { block.d.set(kHalfOne); }
  static QK_INLINE ScaleAndMin scale_and_min(const Block& block, int) {
    return {half_to_float(block.d.get()), 0.0f};
  }

  template <class I>
  static QK_INLINE typename I::Quants quants(const Block* unit, int step) {
    constexpr int kBlocks = I::kStep / 32;
    return I::template signed_bytes<sizeof(Block)>(unit[step * kBlocks].qs);
  }

  template <class I>
  static QK_INLINE void scales(const Block* unit, PerGroup<I, kGroup>& scale,
                               PerGroup<I, kMinGroup>&) {
    scale.v[0] = I::template halves<sizeof(Block)>(&unit->d);
  }

  template <class I>
  static QK_INLINE typename I::Words panel_quants(PanelBlock<I> block, int quad) {
    return block.signed_bytes(4, quad);
  }

  template <class I>
  static QK_INLINE typename I::Floats panel_scale(PanelBlock<I> block, int) {
    return block.half(0);
  }
};

}  // namespace qk
