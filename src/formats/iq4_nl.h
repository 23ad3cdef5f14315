// IQ4_NL: 32 weights a block, 4-bit codes of a fixed table of values, one scale.
//
//   byte   0..1   d    binary16
//          2..17  qs   byte j: code of weight j in the low nibble, of weight j + 16 in the high one
//   weight[i] = d * kIq4Values[code[i]]
//   integer = kIq4Values[code[i]], -127 .. 113 (the table holds 128 more)
#pragma once

#include "core/unaligned.h"
#include "formats/blocks_of_32.h"
#include "formats/code_tables.h"
#include "formats/format.h"
#include "formats/one_scale.h"
#include "formats/panel.h"

namespace qk {

struct IQ4_NL : Quantised<QuantRange{.most = 255, .bias = kIq4Bias}>,
                PlainBlocks<IQ4_NL>,
                NibbleCodes<IQ4_NL> {
  static constexpr FormatInfo kInfo{.name = "iq4_nl",
                                    .gguf_id = 20,
                                    .file_type = 25,
                                    .block = 32,
                                    .bytes = 18,
                                    .integers = "the code's value in the table: -127 to 113"};
  struct Block {
    U16 d;
    uint8_t qs[16];
  };
  static_assert(sizeof(Block) == kInfo.bytes && alignof(Block) == 1);
  static constexpr PanelElements kPanel[kMostPanelElements] = {{2, 1}, {4, 4}};
  static QK_INLINE constexpr const auto& values() { return kIq4Values; }
};

}  // namespace qk
