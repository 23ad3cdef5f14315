// Q6_K: a superblock of 256 weights, 6 bits each; 16 groups of 16 with a signed 8-bit scale.
//
//   byte   0..127   ql      2 runs of 64 bytes; run r holds bits 0..3 of 128 weights from 128r on:
//                           the first 64 in the low nibbles, the others in the high ones
//          128..191 qh      2 runs of 32 bytes with bits 4..5, laid out as in q2_k
//          192..207 scales  int8 x 16
//          208..209 d       binary16
//   weight[16 g + i] = (d * scale[g]) * (quant - 32)
//   integer = quant - 32
#pragma once

#include "core/half.h"
#include "core/unaligned.h"
#include "formats/bundle.h"
#include "formats/format.h"
#include "formats/panel.h"

namespace qk {

struct Q6_K : Quantised<QuantRange{.most = 63, .bias = 32, .group = 16}>, PanelD {
  static constexpr FormatInfo kInfo{.name = "q6_k",
                                    .gguf_id = 14,
                                    .file_type = 18,
                                    .block = 256,
                                    .bytes = 210,
                                    .integers = "quant - 32: -32 to 31"};
  struct Block {
    uint8_t ql[128];
    uint8_t qh[64];
    Unaligned<uint64_t> scales[2];
    U16 d;
  };
  static_assert(sizeof(Block) == kInfo.bytes && alignof(Block) == 1);
  struct Recoded {
    U16 d;
    uint8_t scales[16];
    U32 quants[48];  // a bundle a group
  };
  static constexpr PanelElements kPanel[kMostPanelElements] = {{2, 1}, {1, 16}, {4, 48}};

  static QK_INLINE void decode(const Block& block, float* out) {
    const float d = half_to_float(block.d.get());
    for (int g = 0; g < 16; ++g) {
      const auto byte = static_cast<int8_t>(block.scales[g / 8].get() >> (8 * (g % 8)));
      const float scale = d * static_cast<float>(byte);
      const int run = g / 8;
      const int part = g / 2 % 4;
      const uint8_t* low = block.ql + 64 * run + 32 * (part % 2) + 16 * (g % 2);
      const uint8_t* high = block.qh + 32 * run + 16 * (g % 2);
      for (int i = 0; i < 16; ++i) {
        const int quant = (low[i] >> (4 * (part / 2)) & 15) | (high[i] >> (2 * part) & 3) << 4;
        out[16 * g + i] = scale * static_cast<float>(quant - 32);
      }
    }
  }

  static QK_INLINE void set_scales_to_one(Block& block) {
    block.d.set(kHalfOne);
    __builtin_memset(block.scales, 1, sizeof(block.scales));
  }
  static QK_INLINE ScaleAndMin scale_and_min(const Block& block, int g) {
    const auto scale = static_cast<int8_t>(block.scales[g / 8].get() >> (8 * (g % 8)));
    return {half_to_float(block.d.get()) * static_cast<float>(scale), 0.0f};
  }

  template <class I>
  static QK_INLINE typename I::Quants quants(const Block* unit, int step) {
    return I::template combine<4>(I::nibbles_of_128(unit->ql, step),
                                  I::crumbs_of_128(unit->qh, step));
  }

  template <class I>
  static QK_INLINE void scales(const Block* unit, PerGroup<I, kGroup>& scale,
                               PerGroup<I, kMinGroup>&) {
    const typename I::F8 d = I::broadcast8(I::half(unit->d.get()));
    for (int i = 0; i < 2; ++i) scale.v[i] = I::mul8(d, I::signed_bytes8(unit->scales[i].get()));
  }

  template <class I>
  static QK_INLINE typename I::Words panel_quants(PanelBlock<I> block, int quad) {
    return Bundle<6>::quants(block, 18, quad);
  }

  template <class I>
  static QK_INLINE typename I::Floats panel_scale(PanelBlock<I> block, int g) {
    return I::floats_of(block.s8(2 + g));
  }

  template <class Body>
  static QK_INLINE void for_fields(int e, Body body) {
    const int part = e % 4;
    body(QuadField{64 * (e / 4) + 32 * (part % 2), 4 * (part / 2), 4, 0});
    body(QuadField{128 + 32 * (e / 4), 2 * part, 2, 4});
  }

  static QK_INLINE void recode(const Block& block, Recoded& to) {
    to.d = block.d;
    __builtin_memcpy(to.scales, block.scales, sizeof(to.scales));
    Bundled<Q6_K, 6>::pack(block, to.quants);
  }
  static QK_INLINE void restore(const Recoded& from, Block& block) {
    block = {};
    block.d = from.d;
    __builtin_memcpy(block.scales, from.scales, sizeof(from.scales));
    Bundled<Q6_K, 6>::unpack(from.quants, block);
  }
};

}  // namespace qk
