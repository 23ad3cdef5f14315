// Q4_K: a superblock of 256 weights, 4 bits each; 8 groups of 32 with a 6-bit scale and min.
//
//   byte   0..1    d       binary16, scale of the scales
//          2..3    dmin    binary16, scale of the mins
//          4..15   scales  12 bytes, 8 scales and 8 mins of 6 bits:
//                    bytes 0..3    low 6 bits: scale 0..3;  high 2 bits: bits 4..5 of scale 4..7
//                    bytes 4..7    low 6 bits: min 0..3;    high 2 bits: bits 4..5 of min 4..7
//                    bytes 8..11   low nibble: bits 0..3 of scale 4..7;  high nibble: of min 4..7
//          16..143 qs      4 runs of 32 bytes; run r holds group 2r in the low nibbles
//                          and group 2r + 1 in the high ones
//   weight[32 g + i] = (d * scale[g]) * quant - dmin * min[g]
//   integer = quant - 8
#pragma once

#include "core/half.h"
#include "core/unaligned.h"
#include "formats/format.h"
#include "formats/panel.h"

namespace qk {

// The eight 6-bit scales and mins of a q4_k or q5_k superblock, one byte each, group 0 lowest.
struct ScalesAndMins {
  uint64_t scales;
  uint64_t mins;
};

QK_INLINE ScalesAndMins unpack_6bit_scales(const uint8_t (&packed)[12]) {
  uint32_t a;
  uint32_t b;
  uint32_t c;
  __builtin_memcpy(&a, packed, 4);
  __builtin_memcpy(&b, packed + 4, 4);
  __builtin_memcpy(&c, packed + 8, 4);
  const uint32_t scales_low = a & 0x3f3f3f3fu;
  const uint32_t mins_low = b & 0x3f3f3f3fu;
  const uint32_t scales_high = (c & 0x0f0f0f0fu) | ((a >> 2) & 0x30303030u);
  const uint32_t mins_high = ((c >> 4) & 0x0f0f0f0fu) | ((b >> 2) & 0x30303030u);
  return {scales_low | static_cast<uint64_t>(scales_high) << 32,
          mins_low | static_cast<uint64_t>(mins_high) << 32};
}

// The scales and mins of q4_k and q5_k, whose blocks begin alike: natively, in panels, and beside
// integers.
struct SixBitScales : PanelDAndMinusDmin {
  template <class I, class Block>
  static QK_INLINE void scales(const Block* unit, PerGroup<I, 32>& scale, PerGroup<I, 32>& min) {
    const ScalesAndMins packed = unpack_6bit_scales(unit->scales);
    scale.v[0] = I::mul8(I::broadcast8(I::half(unit->d.get())), I::bytes8(packed.scales));
    min.v[0] = I::mul8(I::broadcast8(-I::half(unit->dmin.get())), I::bytes8(packed.mins));
  }
  template <class I>
  static QK_INLINE typename I::Floats panel_scale(PanelBlock<I> block, int g) {
    return I::floats_of(six_bits(block, 0, g));
  }
  template <class I>
  static QK_INLINE typename I::Floats panel_min(PanelBlock<I> block, int g) {
    return I::floats_of(six_bits(block, 1, g));
  }

  template <class Block>
  static QK_INLINE void set_scales_to_one(Block& block) {
    block.d.set(kHalfOne);
    block.dmin.set(0);
    __builtin_memset(block.scales, 0, sizeof(block.scales));
    for (int i = 0; i < 4; ++i) block.scales[i] = block.scales[8 + i] = 1;
  }
  template <class Block>
  static QK_INLINE ScaleAndMin scale_and_min(const Block& block, int g) {
    const ScalesAndMins packed = unpack_6bit_scales(block.scales);
    return {half_to_float(block.d.get()) * static_cast<float>(packed.scales >> (8 * g) & 63),
            -half_to_float(block.dmin.get()) * static_cast<float>(packed.mins >> (8 * g) & 63)};
  }

 private:
  // Scale (which = 0) or min (1) g of those packed at byte 4.
  template <class I>
  static QK_INLINE typename I::Words six_bits(PanelBlock<I> block, int which, int g) {
    const int byte = 8 * (g % 4);
    if (g < 4) return block.field(4 + 4 * which, byte, 63);
    return I::or_words(block.field(12, byte + 4 * which, 15),
                       block.field(4 + 4 * which, byte + 2, 48));
  }
};

struct Q4_K : Quantised<QuantRange{.most = 15, .zero = 8, .has_min = true}>, SixBitScales {
  static constexpr FormatInfo kInfo{.name = "q4_k",
                                    .gguf_id = 12,
                                    .file_type = 14,
                                    .block = 256,
                                    .bytes = 144,
                                    .integers = "nibble - 8: -8 to 7"};
  struct Block {
    U16 d;
    U16 dmin;
    uint8_t scales[12];
    uint8_t qs[128];
  };
  static_assert(sizeof(Block) == kInfo.bytes && alignof(Block) == 1);
  static constexpr PanelElements kPanel[kMostPanelElements] = {{2, 2}, {4, 35}};

  static QK_INLINE void decode(const Block& block, float* out) {
    const float d = half_to_float(block.d.get());
    const float dmin = half_to_float(block.dmin.get());
    const ScalesAndMins packed = unpack_6bit_scales(block.scales);
    for (int g = 0; g < 8; ++g) {
      const float scale = d * static_cast<float>((packed.scales >> (8 * g)) & 63);
      const float min = dmin * static_cast<float>((packed.mins >> (8 * g)) & 63);
      const uint8_t* run = block.qs + 32 * (g / 2);
      for (int i = 0; i < 32; ++i) {
        out[32 * g + i] = scale * static_cast<float>((run[i] >> (4 * (g % 2))) & 15) - min;
      }
    }
  }

  template <class I>
  static QK_INLINE typename I::Quants quants(const Block* unit, int step) {
    return I::nibbles_of_64(unit->qs, step);
  }

  template <class I>
  static QK_INLINE typename I::Words panel_quants(PanelBlock<I> block, int quad) {
    return block.nibbles_of_64(16, quad);
  }
};

}  // namespace qk
