// Q5_1: 32 weights a block, 5 bits each, a scale and a min.
//
//   byte   0..1   d    binary16
//          2..3   m    binary16
//          4..7   qh   bit i: bit 4 of weight i
//          8..23  qs   byte j: bits 0..3 of weight j in the low nibble, of weight j + 16 in the
//          high
//   weight[i] = d * quant[i] + m
//   integer = quant[i] - 16
#pragma once

#include "core/unaligned.h"
#include "formats/blocks_of_32.h"
#include "formats/format.h"
#include "formats/one_scale.h"
#include "formats/panel.h"

namespace qk {

struct Q5_1 : Quantised<QuantRange{.most = 31, .zero = 16, .has_min = true}>,
              PlainBlocks<Q5_1>,
              NibblesAndFifthBits<Q5_1> {
  static constexpr FormatInfo kInfo{.name = "q5_1",
                                    .gguf_id = 7,
                                    .file_type = 9,
                                    .block = 32,
                                    .bytes = 24,
                                    .integers = "quant - 16: -16 to 15"};
  struct Block {
    U16 d;
    U16 m;
    uint8_t qh[4];
    uint8_t qs[16];
  };
  static_assert(sizeof(Block) == kInfo.bytes && alignof(Block) == 1);
  static constexpr PanelElements kPanel[kMostPanelElements] = {
      {2, 2}, {4, 1, PanelElements::kBits}, {4, 4}};
};

}  // namespace qk
