// NVFP4: 64 weights a block, 4-bit floats (e2m1); 4 groups of 16, each with an unsigned 8-bit float
// (e4m3) as its scale.
//
//   byte   0..3   d    a scale a group
//          4..35  qs   8 bytes a group; byte j: code of weight j in the low nibble, of weight j + 8
//                      in the high one
//   weight[16 g + i] = (scale[g] / 2) * kE2m1Values[code], the table holding the values doubled
//   integer = kE2m1Values[code], -12 .. 12: twice the float
#pragma once

#include "core/half.h"
#include "core/unaligned.h"
#include "formats/code_tables.h"
#include "formats/format.h"
#include "formats/octets.h"
#include "formats/panel.h"

namespace qk {

struct NVFP4 : Quantised<QuantRange{.most = 28, .bias = kE2m1Bias, .group = 16}>, Octets<NVFP4> {
  static constexpr FormatInfo kInfo{
      .name = "nvfp4",
      .gguf_id = 40,
      .file_type = 39,
      .block = 64,
      .bytes = 36,
      .integers = "twice the 4-bit float, which makes it whole: -12 to 12"};
  struct Block {
    uint8_t d[4];
    uint8_t qs[32];
  };
  static_assert(sizeof(Block) == kInfo.bytes && alignof(Block) == 1);
  static constexpr PanelElements kPanel[kMostPanelElements] = {{1, 4}, {4, 8}};

  static QK_INLINE uint64_t octet(const Block& block, int e) {
    uint64_t quants = 0;
    for (int i = 0; i < 8; ++i) {
      const int code = block.qs[8 * (e / 2) + i] >> (4 * (e % 2)) & 15;
      quants |= static_cast<uint64_t>(kE2m1Values[code]) << (8 * i);
    }
    return quants;
  }

  template <class I>
  static QK_INLINE typename I::Quants quants(const Block* unit, int step) {
    const int weight = I::kStep * step;
    const uint8_t* codes = unit[weight / kInfo.block].qs + weight % kInfo.block / 2;
    return I::look_up(I::nibbles_of_16(codes), kE2m1Values);
  }

  // e4m3 without its sign: exponent bias 7; 0x7f, which would be NaN, counts as zero.
  static QK_INLINE float group_scale(const Block& block, int g) {
    const uint32_t bits = block.d[g];
    if (bits == 0x7f) return 0.0f;
    const uint32_t exponent = bits >> 3 & 15;
    const auto mantissa = static_cast<float>(bits & 7);
    if (exponent == 0) return mantissa * 0x1p-10f;
    // (1 + mantissa / 8) * 2^(exponent - 7) / 2
    return (8.0f + mantissa) * float_of_bits((exponent + 127 - 11) << 23);
  }
  static QK_INLINE void set_scales_to_one(Block& block) {
    __builtin_memset(block.d, 0x40, sizeof(block.d));  // 2, of which half is the scale
  }

  // Four scales as binary16 256 times too small, 7 being e4m3's bias and 15 binary16's: denormals
  // are denormals, and nothing is rounded.
  static QK_INLINE uint64_t small_scales(const Block& block) {
    uint32_t four;
    __builtin_memcpy(&four, block.d, sizeof(four));
    uint64_t spread = four;
    spread = (spread | spread << 16) & 0x0000ffff0000ffff;
    spread = (spread | spread << 8) & 0x00ff00ff00ff00ff;
    constexpr uint64_t kNan = 0x007f007f007f007f;
    const uint64_t is_number = ((spread ^ kNan) + kNan) >> 7 | (spread ^ kNan) >> 7;
    const uint64_t keep = (is_number & 0x0001000100010001) * 0x7f;
    return (spread & keep) << 7;
  }

  template <class I>
  static QK_INLINE void scales(const Block* unit, PerGroup<I, kGroup>& scale,
                               PerGroup<I, kMinGroup>&) {
    const auto unit_scale = I::broadcast8(128.0f);
    for (int i = 0; i < scale.kVectors; ++i) {
      const auto eight = I::halves8(small_scales(unit[2 * i]), small_scales(unit[2 * i + 1]));
      scale.v[i] = I::mul8(unit_scale, eight);
    }
  }

  template <class I>
  static QK_INLINE typename I::Words panel_quants(PanelBlock<I> block, int quad) {
    return I::look_up_bytes(block.nibbles_of_16(4, quad), kE2m1Values);
  }

  // As small_scales, times 128 or, for what would be NaN, times 0.
  template <class I>
  static QK_INLINE typename I::Floats panel_scale(PanelBlock<I> block, int g) {
    const auto bits = block.u8(g);
    const auto small = I::halves_of(I::shift_left(I::and_bits(bits, 0x7f), 7));
    const auto carry = I::add_bits(I::xor_bits(bits, 0x7f), 0xff);  // bit 8, unless it is 0x7f
    return I::fmul(small, I::floats_of(I::and_bits(I::shift_right(carry, 1), 128)));
  }
};

}  // namespace qk
