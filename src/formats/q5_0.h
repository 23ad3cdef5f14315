// Q5_0: 32 weights a block, 5 bits each, one scale.
//
//   byte   0..1   d    binary16
//          2..5   qh   bit i: bit 4 of weight i
//          6..21  qs   byte j: bits 0..3 of weight j in the low nibble, of weight j + 16 in the
//          high
//   weight[i] = d * (quant[i] - 16)
//   integer = quant[i] - 16
#pragma once

#include "core/unaligned.h"
#include "formats/blocks_of_32.h"
#include "formats/format.h"
#include "formats/one_scale.h"
#include "formats/panel.h"

namespace qk {

struct Q5_0 : Quantised<QuantRange{.most = 31, .bias = 16}>,
              PlainBlocks<Q5_0>,
              NibblesAndFifthBits<Q5_0> {
  static constexpr FormatInfo kInfo{.name = "q5_0",
                                    .gguf_id = 6,
                                    .file_type = 8,
                                    .block = 32,
                                    .bytes = 22,
                                    .integers = "quant - 16: -16 to 15"};
  struct Block {
    U16 d;
    uint8_t qh[4];
    uint8_t qs[16];
  };
  static_assert(sizeof(Block) == kInfo.bytes && alignof(Block) == 1);
  static constexpr PanelElements kPanel[kMostPanelElements] = {
      {2, 1}, {4, 1, PanelElements::kBits}, {4, 4}};
};

}  // namespace qk
