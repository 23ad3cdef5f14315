// Q1_0: 128 weights a block, a sign each, one scale.
//
//   byte   0..1   d    binary16
//          2..17  qs   byte j: bit i is 1 where weight 8 j + i is d, 0 where it is -d
//   weight[i] = d * (2 * bit[i] - 1)
//   integer = 2 * bit[i] - 1, -1 or 1; the quant is twice the bit
#pragma once

#include <cstdint>

#include "core/unaligned.h"
#include "formats/format.h"
#include "formats/one_scale.h"
#include "formats/panel.h"

namespace qk {

QK_TABLE uint8_t kTwiceABit[16] = {0, 2};

struct Q1_0 : Quantised<QuantRange{.most = 2, .bias = 1}>, PlainBlocks<Q1_0> {
  static constexpr FormatInfo kInfo{.name = "q1_0",
                                    .gguf_id = 41,
                                    .file_type = 40,
                                    .block = 128,
                                    .bytes = 18,
                                    .integers = "-1 or 1"};
  struct Block {
    U16 d;
    uint8_t qs[16];
  };
  static_assert(sizeof(Block) == kInfo.bytes && alignof(Block) == 1);
  static constexpr PanelElements kPanel[kMostPanelElements] = {{2, 1},
                                                               {4, 4, PanelElements::kBits}};

  static QK_INLINE int quant(const Block& block, int i) {
    return 2 * (block.qs[i / 8] >> (i % 8) & 1);
  }

  template <class I>
  static QK_INLINE typename I::Quants quants(const Block* unit, int step) {
    const int first = I::kStep * step;
    const uint8_t* bits = unit[first / kInfo.block].qs + first % kInfo.block / 8;
    return I::look_up(I::template bits_of_32<4>(bits), kTwiceABit);
  }

  template <class I>
  static QK_INLINE typename I::Words panel_quants(PanelBlock<I> block, int quad) {
    return I::shift_left(block.bits_of_32(2 + 4 * (quad / 8), quad % 8), 1);
  }

  // As ggml: the mean magnitude, and the signs.
  static QK_INLINE bool encode(const float* x, Block& block) {
    float sum = 0.0f;
    for (int i = 0; i < kInfo.block; ++i) sum += __builtin_fabsf(x[i]);
    for (int j = 0; j < 16; ++j) {
      int bits = 0;
      for (int i = 0; i < 8; ++i) bits |= (x[8 * j + i] >= 0.0f ? 1 : 0) << i;
      block.qs[j] = static_cast<uint8_t>(bits);
    }
    return put_scale(block, sum / static_cast<float>(kInfo.block));
  }
};

}  // namespace qk
