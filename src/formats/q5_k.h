// Q5_K: a superblock of 256 weights, 5 bits each; 8 groups of 32 with a 6-bit scale and min.
//
//   byte   0..1    d       binary16, scale of the scales
//          2..3    dmin    binary16, scale of the mins
//          4..15   scales  as in q4_k
//          16..47  qh      bit g of byte i: bit 4 of weight 32g + i
//          48..175 qs      bits 0..3, as in q4_k
//   weight[32 g + i] = (d * scale[g]) * quant - dmin * min[g]
//   integer = quant - 16
#pragma once

#include "core/half.h"
#include "core/unaligned.h"
#include "formats/bundle.h"
#include "formats/format.h"
#include "formats/panel.h"
#include "formats/q4_k.h"

namespace qk {

struct Q5_K : Quantised<QuantRange{.most = 31, .zero = 16, .has_min = true}>, SixBitScales {
  static constexpr FormatInfo kInfo{.name = "q5_k",
                                    .gguf_id = 13,
                                    .file_type = 16,
                                    .block = 256,
                                    .bytes = 176,
                                    .integers = "quant - 16: -16 to 15"};
  struct Block {
    U16 d;
    U16 dmin;
    uint8_t scales[12];
    uint8_t qh[32];
    uint8_t qs[128];
  };
  static_assert(sizeof(Block) == kInfo.bytes && alignof(Block) == 1);
  struct Recoded {
    U16 d;
    U16 dmin;
    uint8_t scales[12];
    U32 quants[40];  // a bundle a group
  };
  static constexpr PanelElements kPanel[kMostPanelElements] = {{2, 2}, {4, 43}};

  static QK_INLINE void decode(const Block& block, float* out) {
    const float d = half_to_float(block.d.get());
    const float dmin = half_to_float(block.dmin.get());
    const ScalesAndMins packed = unpack_6bit_scales(block.scales);
    for (int g = 0; g < 8; ++g) {
      const float scale = d * static_cast<float>((packed.scales >> (8 * g)) & 63);
      const float min = dmin * static_cast<float>((packed.mins >> (8 * g)) & 63);
      const uint8_t* run = block.qs + 32 * (g / 2);
      for (int i = 0; i < 32; ++i) {
        const int low = (run[i] >> (4 * (g % 2))) & 15;
        const int high = (block.qh[i] >> g) & 1;
        out[32 * g + i] = scale * static_cast<float>(low | high << 4) - min;
      }
    }
  }

  template <class I>
  static QK_INLINE typename I::Quants quants(const Block* unit, int step) {
    return I::template combine<4>(I::nibbles_of_64(unit->qs, step), I::bits_of_256(unit->qh, step));
  }

  template <class I>
  static QK_INLINE typename I::Words panel_quants(PanelBlock<I> block, int quad) {
    return Bundle<5>::quants(block, 16, quad);
  }

  template <class Body>
  static QK_INLINE void for_fields(int e, Body body) {
    body(QuadField{48 + 32 * (e / 2), 4 * (e % 2), 4, 0});
    body(QuadField{16, e, 1, 4});
  }

  static QK_INLINE void recode(const Block& block, Recoded& to) {
    __builtin_memcpy(&to, &block, 16);  // what comes before the quants
    Bundled<Q5_K, 5>::pack(block, to.quants);
  }
  static QK_INLINE void restore(const Recoded& from, Block& block) {
    block = {};
    __builtin_memcpy(&block, &from, 16);
    Bundled<Q5_K, 5>::unpack(from.quants, block);
  }
};

}  // namespace qk
