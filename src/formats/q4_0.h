// Q4_0: 32 weights a block, 4 bits each, one scale.
//
//   byte   0..1   d    binary16
//          2..17  qs   byte j: weight j in the low nibble, weight j + 16 in the high one
//   weight[i] = d * (quant[i] - 8)
//   integer = quant[i] - 8
#pragma once

#include "core/unaligned.h"
#include "formats/blocks_of_32.h"
#include "formats/format.h"
#include "formats/one_scale.h"
#include "formats/panel.h"

namespace qk {

struct Q4_0 : Quantised<QuantRange{.most = 15, .bias = 8}>, PlainBlocks<Q4_0>, Nibbles<Q4_0> {
  static constexpr FormatInfo kInfo{.name = "q4_0",
                                    .gguf_id = 2,
                                    .file_type = 2,
                                    .block = 32,
                                    .bytes = 18,
                                    .integers = "nibble - 8: -8 to 7"};
  struct Block {
    U16 d;
    uint8_t qs[16];
  };
  static_assert(sizeof(Block) == kInfo.bytes && alignof(Block) == 1);
  static constexpr PanelElements kPanel[kMostPanelElements] = {{2, 1}, {4, 4}};
};

}  // namespace qk
