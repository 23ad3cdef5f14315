// TQ2_0: a superblock of 256 ternary weights, 2 bits each, one scale.
//
//   byte   0..63   qs   2 runs of 32 bytes, as in q2_k
//          64..65  d    binary16
//   weight[i] = d * (quant[i] - 1)
//   integer = quant[i] - 1
#pragma once

#include "core/half.h"
#include "core/unaligned.h"
#include "formats/format.h"
#include "formats/panel.h"

namespace qk {

struct TQ2_0 {
  static constexpr FormatInfo kInfo{"tq2_0", 35, 256, 66};
  static constexpr bool kFloat = false;
  static constexpr int kGroup = 32;
  static constexpr int kMinGroup = 32;
  static constexpr int kMaxQuant = 3;
  static constexpr int kBias = 1;
  static constexpr int kZero = kBias;
  static constexpr bool kHasMin = false;
  struct Block {
    uint8_t qs[64];
    U16 d;
  };
  static_assert(sizeof(Block) == kInfo.bytes && alignof(Block) == 1);
  static constexpr PanelElements kPanel[kMostPanelElements] = {{4, 16}, {2, 1}};

  static QK_INLINE void decode(const Block& block, float* out) {
    const float d = half_to_float(block.d.get());
    for (int i = 0; i < 256; ++i) {
      const int quant = block.qs[32 * (i / 128) + i % 32] >> (2 * (i / 32 % 4)) & 3;
      out[i] = d * static_cast<float>(quant - 1);
    }
  }

  static QK_INLINE void set_scales_to_one(Block& block) { block.d.set(kHalfOne); }
  static QK_INLINE ScaleAndMin scale_and_min(const Block& block, int) {
    return {half_to_float(block.d.get()), 0.0f};
  }

  template <class I>
  static QK_INLINE typename I::Quants quants(const Block* unit, int step) {
    return I::crumbs_of_128(unit->qs, step);
  }

  template <class I>
  static QK_INLINE void scales(const Block* unit, PerGroup<I, kGroup>& scale,
                               PerGroup<I, kMinGroup>&) {
    scale.v[0] = I::broadcast8(I::half(unit->d.get()));
  }

  template <class I>
  static QK_INLINE typename I::Words panel_quants(PanelBlock<I> block, int quad) {
    return block.crumbs_of_128(0, quad);
  }

  template <class I>
  static QK_INLINE typename I::Floats panel_d(PanelBlock<I> block) {
    return block.half(64);
  }

  template <class I>
  static QK_INLINE typename I::Floats panel_scale(PanelBlock<I>, int) {
    return I::broadcast(1.0f);
  }
};

}  // namespace qk
