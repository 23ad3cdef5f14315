// MXFP4: 32 weights a block, 4-bit floats (e2m1), one power of two as their scale (e8m0).
//
//   byte   0      e    exponent: the scale is 2^(e - 128), half of the standard's, since the table
//                      holds the values doubled to make them integers
//          1..16  qs   byte j: code of weight j in the low nibble, of weight j + 16 in the high one
//   weight[i] = scale * kE2m1Values[code[i]]
//   integer = kE2m1Values[code[i]], -12 .. 12: twice the float
#pragma once

#include "core/half.h"
#include "core/unaligned.h"
#include "formats/blocks_of_32.h"
#include "formats/code_tables.h"
#include "formats/format.h"
#include "formats/one_scale.h"
#include "formats/panel.h"

namespace qk {

struct MXFP4 : Quantised<QuantRange{.most = 28, .bias = kE2m1Bias}>,
               PlainBlocks<MXFP4>,
               NibbleCodes<MXFP4> {
  static constexpr FormatInfo kInfo{
      .name = "mxfp4",
      .gguf_id = 39,
      .file_type = 38,
      .block = 32,
      .bytes = 17,
      .integers = "twice the 4-bit float, which makes it whole: -12 to 12"};
  struct Block {
    uint8_t e;
    uint8_t qs[16];
  };
  static_assert(sizeof(Block) == kInfo.bytes && alignof(Block) == 1);
  static constexpr PanelElements kPanel[kMostPanelElements] = {{1, 1}, {4, 4}};
  static QK_INLINE constexpr const auto& values() { return kE2m1Values; }

  // 2^(e - 128): the exponent field of a float32, or for e < 2 a denormal's highest bits.
  static QK_INLINE float block_scale(const Block& block) {
    const uint32_t e = block.e;
    return float_of_bits(e < 2 ? 0x00200000u << e : (e - 1) << 23);
  }

  static QK_INLINE void set_scales_to_one(Block& block) { block.e = 128; }

  template <class I>
  static QK_INLINE void scales(const Block* unit, PerGroup<I, kGroup>& scale,
                               PerGroup<I, kMinGroup>&) {
    float values[8];
    for (int g = 0; g < 8; ++g) values[g] = block_scale(unit[g]);
    scale.v[0] = I::load8(values);
  }

  // 2^(e - 128) as a product of two powers that are never denormal: of half of e, and of the rest.
  template <class I>
  static QK_INLINE typename I::Floats panel_scale(PanelBlock<I> block, int) {
    const auto e = block.u8(0);
    const auto half = I::shift_right(e, 1);
    const auto rest = I::sub_words(e, half);
    const auto power = [](typename I::Words exponent) __attribute__((always_inline)) {
      return I::as_floats(I::shift_left(I::add_bits(exponent, 63), 23));  // 2^(exponent - 64)
    };
    return I::fmul(power(half), power(rest));
  }
};

}  // namespace qk
