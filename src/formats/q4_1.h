// Q4_1: 32 weights a block, 4 bits each, a scale and a min.
//
//   byte   0..1   d    binary16
//          2..3   m    binary16
//          4..19  qs   byte j: weight j in the low nibble, weight j + 16 in the high one
//   weight[i] = d * quant[i] + m
//   integer = quant[i] - 8
#pragma once

#include "core/unaligned.h"
#include "formats/blocks_of_32.h"
#include "formats/format.h"
#include "formats/one_scale.h"
#include "formats/panel.h"

namespace qk {

struct Q4_1 : Quantised<QuantRange{.most = 15, .zero = 8, .has_min = true}>,
              PlainBlocks<Q4_1>,
              Nibbles<Q4_1> {
  static constexpr FormatInfo kInfo{.name = "q4_1",
                                    .gguf_id = 3,
                                    .file_type = 3,
                                    .block = 32,
                                    .bytes = 20,
                                    .integers = "nibble - 8: -8 to 7"};
  struct Block {
    U16 d;
    U16 m;
    uint8_t qs[16];
  };
  static_assert(sizeof(Block) == kInfo.bytes && alignof(Block) == 1);
  static constexpr PanelElements kPanel[kMostPanelElements] = {{2, 2}, {4, 4}};
};

}  // namespace qk
