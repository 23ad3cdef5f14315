// Q3_K: a superblock of 256 weights, 3 bits each; 16 groups of 16 with a signed 6-bit scale.
//
//   byte   0..31   hmask   bit g of byte i: bit 2 of weight 32g + i
//          32..95  qs      bits 0..1, as in q2_k
//          96..107 scales  bytes 0..7: bits 0..3 of scales 0..7 in the low nibbles, of scales 8..15
//                          in the high ones; bytes 8..11: bits 4..5 of scales 0..3 in bits 0..1, of
//                          scales 4..7 in bits 2..3, and so on; each scale is stored plus 32
//          108..109 d      binary16
//   weight[16 g + i] = (d * (scale[g] - 32)) * (quant - 4)
//   integer = quant - 4
#pragma once

#include "core/half.h"
#include "core/unaligned.h"
#include "formats/bundle.h"
#include "formats/format.h"
#include "formats/panel.h"

namespace qk {

// The sixteen 6-bit scales of a q3_k superblock, one byte each.
struct Q3_KScales {
  uint64_t first;   // scales 0..7, scale 0 lowest
  uint64_t second;  // scales 8..15
};

QK_INLINE Q3_KScales unpack_q3_k_scales(const uint8_t (&packed)[12]) {
  uint64_t low;
  uint32_t high;
  __builtin_memcpy(&low, packed, sizeof(low));
  __builtin_memcpy(&high, packed + 8, sizeof(high));
  constexpr uint64_t kNibbles = 0x0f0f0f0f0f0f0f0f;
  constexpr uint64_t kPairs = 0x03030303;
  const uint64_t first = (high & kPairs) | (high >> 2 & kPairs) << 32;
  const uint64_t second = (high >> 4 & kPairs) | (high >> 6 & kPairs) << 32;
  return {(low & kNibbles) | first << 4, (low >> 4 & kNibbles) | second << 4};
}

// 32 less in every byte, as signed ones: without borrows from 32..95.
QK_INLINE uint64_t minus_32_each(uint64_t bytes) {
  constexpr uint64_t kGuard = 0x8080808080808080;
  return ((bytes | kGuard) - 0x2020202020202020) ^ kGuard;
}

// The reverse of unpack_q3_k_scales.
QK_INLINE void pack_q3_k_scales(Q3_KScales scales, uint8_t (&packed)[12]) {
  constexpr uint64_t kNibbles = 0x0f0f0f0f0f0f0f0f;
  constexpr uint32_t kPairs = 0x03030303;
  const uint64_t low = (scales.first & kNibbles) | (scales.second & kNibbles) << 4;
  const auto pairs = [](uint64_t half, int shift)
                         QK_INLINED { return static_cast<uint32_t>(half >> shift) >> 4 & kPairs; };
  const uint32_t high = pairs(scales.first, 0) | pairs(scales.first, 32) << 2 |
                        pairs(scales.second, 0) << 4 | pairs(scales.second, 32) << 6;
  __builtin_memcpy(packed, &low, sizeof(low));
  __builtin_memcpy(packed + 8, &high, sizeof(high));
}

struct Q3_K : Quantised<QuantRange{.most = 7, .bias = 4, .group = 16}>, PanelD {
  static constexpr FormatInfo kInfo{.name = "q3_k",
                                    .gguf_id = 11,
                                    .file_type = 11,
                                    .block = 256,
                                    .bytes = 110,
                                    .integers = "quant - 4: -4 to 3"};
  struct Block {
    uint8_t hmask[32];
    uint8_t qs[64];
    uint8_t scales[12];
    U16 d;
  };
  static_assert(sizeof(Block) == kInfo.bytes && alignof(Block) == 1);
  struct Recoded {
    U16 d;
    Unaligned<uint64_t> scales[2];  // int8 x 16, 32 less than in the file
    U32 quants[24];                 // a bundle for two groups
  };
  static constexpr PanelElements kPanel[kMostPanelElements] = {{2, 1}, {1, 16}, {4, 24}};

  static QK_INLINE void decode(const Block& block, float* out) {
    const float d = half_to_float(block.d.get());
    const Q3_KScales packed = unpack_q3_k_scales(block.scales);
    for (int g = 0; g < 16; ++g) {
      const uint64_t half = g < 8 ? packed.first : packed.second;
      const int six_bits = static_cast<int>(half >> (8 * (g % 8)) & 63);
      const float scale = d * static_cast<float>(six_bits - 32);
      const int at = 16 * (g % 2);
      const uint8_t* run = block.qs + 32 * (g / 8) + at;
      for (int i = 0; i < 16; ++i) {
        const int low = (run[i] >> (2 * (g / 2 % 4))) & 3;
        const int high = (block.hmask[at + i] >> (g / 2)) & 1;
        out[16 * g + i] = scale * static_cast<float>((low | high << 2) - 4);
      }
    }
  }

  static QK_INLINE void set_scales_to_one(Block& block) {
    block.d.set(kHalfOne);
    constexpr uint64_t kOnes = 0x2121212121212121;  // each stored plus 32
    pack_q3_k_scales({kOnes, kOnes}, block.scales);
  }
  static QK_INLINE ScaleAndMin scale_and_min(const Block& block, int g) {
    const Q3_KScales packed = unpack_q3_k_scales(block.scales);
    const uint64_t half = g < 8 ? packed.first : packed.second;
    const int scale = static_cast<int>(half >> (8 * (g % 8)) & 63) - 32;
    return {half_to_float(block.d.get()) * static_cast<float>(scale), 0.0f};
  }

  template <class I>
  static QK_INLINE typename I::Quants quants(const Block* unit, int step) {
    return I::template combine<2>(I::crumbs_of_128(unit->qs, step),
                                  I::bits_of_256(unit->hmask, step));
  }

  template <class I>
  static QK_INLINE void scales(const Block* unit, PerGroup<I, kGroup>& scale,
                               PerGroup<I, kMinGroup>&) {
    const Q3_KScales packed = unpack_q3_k_scales(unit->scales);
    const typename I::F8 d = I::broadcast8(I::half(unit->d.get()));
    scale.v[0] = I::mul8(d, I::signed_bytes8(minus_32_each(packed.first)));
    scale.v[1] = I::mul8(d, I::signed_bytes8(minus_32_each(packed.second)));
  }

  template <class I>
  static QK_INLINE typename I::Words panel_quants(PanelBlock<I> block, int quad) {
    return Bundle<3>::quants(block, 18, quad);
  }

  template <class I>
  static QK_INLINE typename I::Floats panel_scale(PanelBlock<I> block, int g) {
    return I::floats_of(block.s8(2 + g));
  }

  template <class Body>
  static QK_INLINE void for_fields(int e, Body body) {
    body(QuadField{32 + 32 * (e / 4), 2 * (e % 4), 2, 0});
    body(QuadField{0, e, 1, 2});
  }

  static QK_INLINE void recode(const Block& block, Recoded& to) {
    to.d = block.d;
    const Q3_KScales packed = unpack_q3_k_scales(block.scales);
    to.scales[0].set(minus_32_each(packed.first));
    to.scales[1].set(minus_32_each(packed.second));
    Bundled<Q3_K, 3>::pack(block, to.quants);
  }
  static QK_INLINE void restore(const Recoded& from, Block& block) {
    block = {};
    block.d = from.d;
    // Adding 32 is subtracting it from what lies 64 above: the bits that count are the lower six.
    constexpr uint64_t kSixBits = 0x3f3f3f3f3f3f3f3f;
    pack_q3_k_scales({minus_32_each(from.scales[0].get()) & kSixBits,
                      minus_32_each(from.scales[1].get()) & kSixBits},
                     block.scales);
    Bundled<Q3_K, 3>::unpack(from.quants, block);
  }
};

}  // namespace qk
