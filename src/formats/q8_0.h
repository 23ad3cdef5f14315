// Q8_0: 32 weights a block, 8 bits each, one scale.
//
//   byte   0..1   d    binary16
//          2..33  qs   int8 x 32
//   weight[i] = d * qs[i]
//   integer = qs[i]
#pragma once

#include "core/unaligned.h"
#include "formats/blocks_of_32.h"
#include "formats/format.h"
#include "formats/one_scale.h"
#include "formats/panel.h"

namespace qk {

struct Q8_0 : Quantised<QuantRange{.most = 255, .bias = 128}>,
              PlainBlocks<Q8_0>,
              SignedBytes<Q8_0> {
  static constexpr FormatInfo kInfo{.name = "q8_0",
                                    .gguf_id = 8,
                                    .file_type = 7,
                                    .block = 32,
                                    .bytes = 34,
                                    .integers = "the int8 quant: -128 to 127"};
  struct Block {
    U16 d;
    int8_t qs[32];
  };
  static_assert(sizeof(Block) == kInfo.bytes && alignof(Block) == 1);
  static constexpr PanelElements kPanel[kMostPanelElements] = {{2, 1}, {4, 8}};
};

}  // namespace qk
