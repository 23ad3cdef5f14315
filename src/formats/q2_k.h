// Q2_K: a superblock of 256 weights, 2 bits each; 16 groups of 16 with a 4-bit scale and min.
//
//   byte   0..15   scales  byte g: scale of group g in the low nibble, its min in the high one
//          16..79  qs      2 runs of 32 bytes; run r holds weights 128r .. 128r + 127: 32 of them
//                          in bits 0..1 of its bytes, the next 32 in bits 2..3, and so on
//          80..81  d       binary16, scale of the scales
//          82..83  dmin    binary16, scale of the mins
//   weight[16 g + i] = (d * scale[g]) * quant - dmin * min[g]
//   integer = quant - 2
#pragma once

#include "core/half.h"
#include "core/unaligned.h"
#include "formats/bundle.h"
#include "formats/format.h"
#include "formats/panel.h"

namespace qk {

struct Q2_K
    : Quantised<QuantRange{.most = 3, .zero = 2, .group = 16, .min_group = 16, .has_min = true}>,
      PanelDAndMinusDmin {
  static constexpr FormatInfo kInfo{.name = "q2_k",
                                    .gguf_id = 10,
                                    .file_type = 10,
                                    .block = 256,
                                    .bytes = 84,
                                    .integers = "quant - 2: -2 to 1"};
  struct Block {
    Unaligned<uint64_t> scales[2];
    uint8_t qs[64];
    U16 d;
    U16 dmin;
  };
  static_assert(sizeof(Block) == kInfo.bytes && alignof(Block) == 1);
  struct Recoded {
    U16 d;
    U16 dmin;
    uint8_t scales[16];
    U32 quants[16];  // a bundle a group
  };
  static constexpr PanelElements kPanel[kMostPanelElements] = {{2, 2}, {4, 20}};

  static QK_INLINE void decode(const Block& block, float* out) {
    const float d = half_to_float(block.d.get());
    const float dmin = half_to_float(block.dmin.get());
    for (int g = 0; g < 16; ++g) {
      const auto packed = static_cast<int>(block.scales[g / 8].get() >> (8 * (g % 8)) & 255);
      const float scale = d * static_cast<float>(packed & 15);
      const float min = dmin * static_cast<float>(packed >> 4);
      const uint8_t* run = block.qs + 32 * (g / 8) + 16 * (g % 2);
      const int shift = 2 * (g / 2 % 4);
      for (int i = 0; i < 16; ++i) {
        out[16 * g + i] = scale * static_cast<float>((run[i] >> shift) & 3) - min;
      }
    }
  }

  static QK_INLINE void set_scales_to_one(Block& block) {
    block.d.set(kHalfOne);
    block.dmin.set(0);
    __builtin_memset(block.scales, 0x01, sizeof(block.scales));
  }
  static QK_INLINE ScaleAndMin scale_and_min(const Block& block, int g) {
    const auto packed = static_cast<int>(block.scales[g / 8].get() >> (8 * (g % 8)) & 255);
    return {half_to_float(block.d.get()) * static_cast<float>(packed & 15),
            -half_to_float(block.dmin.get()) * static_cast<float>(packed >> 4)};
  }

  template <class I>
  static QK_INLINE typename I::Quants quants(const Block* unit, int step) {
    return I::crumbs_of_128(unit->qs, step);
  }

  template <class I>
  static QK_INLINE void scales(const Block* unit, PerGroup<I, kGroup>& scale,
                               PerGroup<I, kMinGroup>& min) {
    constexpr uint64_t kNibbles = 0x0f0f0f0f0f0f0f0f;
    const typename I::F8 d = I::broadcast8(I::half(unit->d.get()));
    const typename I::F8 dmin = I::broadcast8(-I::half(unit->dmin.get()));
    for (int i = 0; i < 2; ++i) {
      const uint64_t packed = unit->scales[i].get();
      scale.v[i] = I::mul8(d, I::bytes8(packed & kNibbles));
      min.v[i] = I::mul8(dmin, I::bytes8(packed >> 4 & kNibbles));
    }
  }

  template <class I>
  static QK_INLINE typename I::Words panel_quants(PanelBlock<I> block, int quad) {
    return Bundle<2>::quants(block, 20, quad);
  }

  template <class I>
  static QK_INLINE typename I::Floats panel_scale(PanelBlock<I> block, int g) {
    const auto scale = block.field(4 + 4 * (g / 4), 8 * (g % 4), 15);
    return I::floats_of(scale);
  }

  template <class I>
  static QK_INLINE typename I::Floats panel_min(PanelBlock<I> block, int g) {
    const auto min = block.field(4 + 4 * (g / 4), 8 * (g % 4) + 4, 15);
    return I::floats_of(min);
  }

  template <class Body>
  static QK_INLINE void for_fields(int e, Body body) {
    body(QuadField{16 + 32 * (e / 4), 2 * (e % 4), 2, 0});
  }

  static QK_INLINE void recode(const Block& block, Recoded& to) {
    to.d = block.d;
    to.dmin = block.dmin;
    __builtin_memcpy(to.scales, block.scales, sizeof(to.scales));
    Bundled<Q2_K, 2>::pack(block, to.quants);
  }
  static QK_INLINE void restore(const Recoded& from, Block& block) {
    block = {};
    block.d = from.d;
    block.dmin = from.dmin;
    __builtin_memcpy(block.scales, from.scales, sizeof(from.scales));
    Bundled<Q2_K, 2>::unpack(from.quants, block);
  }
};

}  // namespace qk
