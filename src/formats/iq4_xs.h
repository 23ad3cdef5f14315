// IQ4_XS: a superblock of 256 weights, 4-bit codes as in iq4_nl; 8 groups of 32 with a signed 6-bit
// scale.
//
//   byte   0..1    d         binary16
//          2..3    scales_h  bits 2g .. 2g + 1: bits 4..5 of scale g
//          4..7    scales_l  byte j: bits 0..3 of scale 2j in the low nibble, of 2j + 1 in the high
//          8..135  qs        16 bytes a group, as in iq4_nl; each scale is stored plus 32
//   weight[32 g + i] = (d * (scale[g] - 32)) * kIq4Values[code]
//   integer = kIq4Values[code], as in iq4_nl
#pragma once

#include "core/half.h"
#include "core/unaligned.h"
#include "formats/code_tables.h"
#include "formats/format.h"
#include "formats/panel.h"

namespace qk {

struct IQ4_XS : Quantised<QuantRange{.most = 255, .bias = kIq4Bias}>, PanelD {
  static constexpr FormatInfo kInfo{.name = "iq4_xs",
                                    .gguf_id = 23,
                                    .file_type = 30,
                                    .block = 256,
                                    .bytes = 136,
                                    .integers = "the code's value in the table: -127 to 113"};
  struct Block {
    U16 d;
    U16 scales_h;
    uint8_t scales_l[4];
    uint8_t qs[128];
  };
  static_assert(sizeof(Block) == kInfo.bytes && alignof(Block) == 1);
  static constexpr PanelElements kPanel[kMostPanelElements] = {{2, 2}, {4, 33}};

  static QK_INLINE int group_scale(const Block& block, int g) {
    const int low = block.scales_l[g / 2] >> (4 * (g % 2)) & 15;
    const int high = block.scales_h.get() >> (2 * g) & 3;
    return (low | high << 4) - 32;
  }

  static QK_INLINE void decode(const Block& block, float* out) {
    const float d = half_to_float(block.d.get());
    for (int g = 0; g < 8; ++g) {
      const float scale = d * static_cast<float>(group_scale(block, g));
      const uint8_t* codes = block.qs + 16 * g;
      for (int j = 0; j < 16; ++j) {
        out[32 * g + j] = scale * static_cast<float>(kIq4Values[codes[j] & 15] - kBias);
        out[32 * g + j + 16] = scale * static_cast<float>(kIq4Values[codes[j] >> 4] - kBias);
      }
    }
  }

  static QK_INLINE void set_scales_to_one(Block& block) {
    block.d.set(kHalfOne);
    block.scales_h.set(0xaaaa);  // every scale 33
    __builtin_memset(block.scales_l, 0x11, sizeof(block.scales_l));
  }
  static QK_INLINE ScaleAndMin scale_and_min(const Block& block, int g) {
    return {half_to_float(block.d.get()) * static_cast<float>(group_scale(block, g)), 0.0f};
  }

  template <class I>
  static QK_INLINE typename I::Quants quants(const Block* unit, int step) {
    const uint8_t* codes = unit->qs + I::kStep / 2 * step;
    return I::look_up(I::template nibbles_of_32<16>(codes), kIq4Values);
  }

  template <class I>
  static QK_INLINE void scales(const Block* unit, PerGroup<I, kGroup>& scale,
                               PerGroup<I, kMinGroup>&) {
    float values[8];
    for (int g = 0; g < 8; ++g) values[g] = static_cast<float>(group_scale(*unit, g));
    scale.v[0] = I::mul8(I::broadcast8(I::half(unit->d.get())), I::load8(values));
  }

  template <class I>
  static QK_INLINE typename I::Words panel_quants(PanelBlock<I> block, int quad) {
    const auto codes = block.nibbles_of_32(8 + 16 * (quad / 8), quad % 8);
    return I::look_up_bytes(codes, kIq4Values);
  }

  template <class I>
  static QK_INLINE typename I::Floats panel_scale(PanelBlock<I> block, int g) {
    const auto low = block.field(4, 4 * g, 15);
    const auto high = I::and_bits(I::shift_right(block.u16(2), 2 * g), 3);
    const auto scale = I::floats_of(I::or_words(low, I::shift_left(high, 4)));
    return I::add(scale, I::broadcast(-32.0f));
  }
};

}  // namespace qk
