// Q8_KS: a superblock of 256 weights, 8 bits each; 32 groups of 8 with a 4-bit scale, one min. It
// has no GGUF id.
//
//   byte   0..255   qs      int8 x 256
//          256..271 scales  byte j: scale of group 2j in the low nibble, of 2j + 1 in the high one
//          272..287         not used
//          288..289 d       binary16
//          290..291 dmin    binary16
//   weight[8 g + i] = (d * scale[g]) * qs[8 g + i] + dmin
//   integer = qs[i]
#pragma once

#include "core/half.h"
#include "core/unaligned.h"
#include "formats/format.h"
#include "formats/octets.h"
#include "formats/panel.h"

namespace qk {

struct Q8_KS : Quantised<QuantRange{.most = 255, .bias = 128, .group = 8, .has_min = true}>,
               PanelD {
  static constexpr FormatInfo kInfo{
      .name = "q8_ks", .block = 256, .bytes = 292, .integers = "the int8 quant: -128 to 127"};
  struct Block {
    int8_t qs[256];
    uint8_t scales[16];
    uint8_t unused[16];
    U16 d;
    U16 dmin;
  };
  static_assert(sizeof(Block) == kInfo.bytes && alignof(Block) == 1);
  struct Recoded {
    U16 d;
    U16 dmin;
    uint8_t scales[16];
    int8_t qs[256];
  };
  static constexpr PanelElements kPanel[kMostPanelElements] = {{2, 2}, {4, 68}};

  static QK_INLINE void decode(const Block& block, float* out) {
    const float d = half_to_float(block.d.get());
    const float dmin = half_to_float(block.dmin.get());
    for (int g = 0; g < 32; ++g) {
      const float scale = d * static_cast<float>(block.scales[g / 2] >> (4 * (g % 2)) & 15);
      for (int i = 8 * g; i < 8 * g + 8; ++i) {
        out[i] = scale * static_cast<float>(block.qs[i]) + dmin;
      }
    }
  }

  static QK_INLINE void set_scales_to_one(Block& block) {
    block.d.set(kHalfOne);
    block.dmin.set(0);
    __builtin_memset(block.scales, 0x11, sizeof(block.scales));
  }
  static QK_INLINE ScaleAndMin scale_and_min(const Block& block, int g) {
    const auto scale = static_cast<float>(block.scales[g / 2] >> (4 * (g % 2)) & 15);
    return {half_to_float(block.d.get()) * scale, half_to_float(block.dmin.get())};
  }

  template <class I>
  static QK_INLINE typename I::Quants quants(const Block* unit, int step) {
    return I::template signed_bytes<32>(unit->qs + I::kStep * step);
  }

  template <class I>
  static QK_INLINE void scales(const Block* unit, PerGroup<I, kGroup>& scale,
                               PerGroup<I, kMinGroup>& min) {
    const typename I::F8 d = I::broadcast8(I::half(unit->d.get()));
    for (int i = 0; i < 4; ++i) {
      uint32_t packed;
      __builtin_memcpy(&packed, unit->scales + 4 * i, sizeof(packed));
      scale.v[i] = I::mul8(d, I::bytes8(spread_nibbles(packed)));
    }
    min.v[0] = I::broadcast8(I::half(unit->dmin.get()));
  }

  template <class I>
  static QK_INLINE typename I::Words panel_quants(PanelBlock<I> block, int quad) {
    return block.signed_bytes(20, quad);
  }

  template <class I>
  static QK_INLINE typename I::Floats panel_dmin(PanelBlock<I> block) {
    return block.half(2);
  }

  template <class I>
  static QK_INLINE typename I::Floats panel_scale(PanelBlock<I> block, int g) {
    const auto scale = block.field(4 + 4 * (g / 8), 4 * (g % 8), 15);
    return I::floats_of(scale);
  }

  template <class I>
  static QK_INLINE typename I::Floats panel_min(PanelBlock<I>, int) {
    return I::broadcast(1.0f);
  }

  static QK_INLINE void recode(const Block& block, Recoded& to) {
    to.d = block.d;
    to.dmin = block.dmin;
    __builtin_memcpy(to.scales, block.scales, sizeof(to.scales));
    __builtin_memcpy(to.qs, block.qs, sizeof(to.qs));
  }
  static QK_INLINE void restore(const Recoded& from, Block& block) {
    block = {};
    block.d = from.d;
    block.dmin = from.dmin;
    __builtin_memcpy(block.scales, from.scales, sizeof(from.scales));
    __builtin_memcpy(block.qs, from.qs, sizeof(from.qs));
  }
};

}  // namespace qk
