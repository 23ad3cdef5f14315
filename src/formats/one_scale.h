// Blocks whose weights share one binary16 scale, the field `d`, and perhaps a min, the field `m`.
//
// A format that derives from OneScale<itself> has its scales from here, in every layout; one that
// derives from PlainBlocks<itself> has its decode(), too, and gives
//   quant(block, i)   the i-th quant of the block, in portable code
// A format whose scale is no binary16 gives block_scale() and what is loaded of it by itself.
#pragma once

#include <cstddef>
#include <cstdint>

#include "core/half.h"
#include "core/unaligned.h"
#include "formats/format.h"
#include "formats/panel.h"

namespace qk {

// A binary16 of each block, for the eight groups of 32 weights in a unit.
template <class F, class I>
QK_INLINE typename I::F8 half_of_groups(const typename F::Block* unit, U16 F::Block::* field) {
  constexpr int kBlocks = kUnit / F::kInfo.block;
  if constexpr (kBlocks == 8) {
    return I::template halves<sizeof(typename F::Block)>(&(unit->*field));
  } else if constexpr (kBlocks == 1) {
    return I::broadcast8(I::half((unit->*field).get()));
  } else {
    constexpr uint64_t kEach = kBlocks == 4 ? 0x0000000000010001 : 0x0001000100010001;
    uint64_t words[2];
    for (int w = 0; w < 2; ++w) {
      words[w] = (unit[kBlocks / 2 * w].*field).get() * kEach;
      if constexpr (kBlocks == 4) words[w] |= (unit[2 * w + 1].*field).get() * kEach << 32;
    }
    return I::halves8(words[0], words[1]);
  }
}

// Where d lies in a block, of a file or of panels.
template <class Block>
consteval int place_of_d() {
  return static_cast<int>(offsetof(Block, d));
}

template <class F>
struct OneScale {
  template <class Block>
  static QK_INLINE float block_scale(const Block& block) {
    return half_to_float(block.d.get());
  }
  template <class Block>
  static QK_INLINE float group_scale(const Block& block, int) {
    return F::block_scale(block);
  }
  template <class Block>
  static QK_INLINE void set_scales_to_one(Block& block) {
    block.d.set(kHalfOne);
    if constexpr (F::kHasMin) block.m.set(0);
  }

  // False where the half is no finite number, and so no scale.
  template <class Block>
  static QK_INLINE bool put_scale(Block& block, float scale) {
    const uint16_t bits = float_to_half(scale);
    block.d.set(bits);
    return (bits & 0x7fff) < 0x7c00;
  }

  template <class I, class Block>
  static QK_INLINE void scales(const Block* unit, PerGroup<I, 32>& scale,
                               [[maybe_unused]] PerGroup<I, 32>& min) {
    scale.v[0] = half_of_groups<F, I>(unit, &Block::d);
    if constexpr (F::kHasMin) min.v[0] = half_of_groups<F, I>(unit, &Block::m);
  }

  // Of a block of 32 the scale is that of its only group; of a larger one, that of the block.
  template <class I>
  static QK_INLINE typename I::Floats panel_scale(PanelBlock<I> block, int) {
    return F::kInfo.block == 32 ? block.half(place_of_d<PanelledBlock<F>>()) : I::broadcast(1.0f);
  }
  template <class I, class G = F>
    requires(G::kInfo.block > 32)
  static QK_INLINE typename I::Floats panel_d(PanelBlock<I> block) {
    return block.half(place_of_d<PanelledBlock<F>>());
  }
  template <class I, class G = F>
    requires(G::kHasMin)
  static QK_INLINE typename I::Floats panel_min(PanelBlock<I> block, int) {
    static_assert(F::kInfo.block == 32);
    return block.half(offsetof(typename F::Block, m));
  }
};

template <class F>
struct PlainBlocks : OneScale<F> {
  template <class Block>
  static QK_INLINE void decode(const Block& block, float* out) {
    const ScaleAndMin shared = F::scale_and_min(block, 0);
    for (int i = 0; i < F::kInfo.block; ++i) {
      out[i] = shared.scale * static_cast<float>(F::quant(block, i) - F::kBias);
      if constexpr (F::kHasMin) out[i] += shared.min;
    }
  }
  template <class Block>
  static QK_INLINE ScaleAndMin scale_and_min(const Block& block, int) {
    if constexpr (F::kHasMin) return {F::block_scale(block), half_to_float(block.m.get())};
    return {F::block_scale(block), 0.0f};
  }
};

}  // namespace qk
