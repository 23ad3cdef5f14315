// Q8_1: 32 weights a block, 8 bits each, one scale; ggml's own form of int8 activations.
//
//   byte   0..1   d    binary16
//          2..3   s    binary16, d * sum(qs): an aid to products, which decoding ignores
//          4..35  qs   int8 x 32
//   weight[i] = d * qs[i]
//   integer = qs[i]
#pragma once

#include "core/unaligned.h"
#include "formats/blocks_of_32.h"
#include "formats/format.h"
#include "formats/one_scale.h"
#include "formats/panel.h"

namespace qk {

struct Q8_1 : Quantised<QuantRange{.most = 255, .bias = 128}>,
              PlainBlocks<Q8_1>,
              SignedBytes<Q8_1> {
  static constexpr FormatInfo kInfo{.name = "q8_1",
                                    .gguf_id = 9,
                                    .block = 32,
                                    .bytes = 36,
                                    .integers = "the int8 quant: -128 to 127"};
  struct Block {
    U16 d;
    U16 s;
    int8_t qs[32];
  };
  static_assert(sizeof(Block) == kInfo.bytes && alignof(Block) == 1);
  static constexpr PanelElements kPanel[kMostPanelElements] = {{2, 2}, {4, 8}};
};

}  // namespace qk
