// TQ2_0: a superblock of 256 ternary weights, 2 bits each, one scale.
//
//   byte   0..63   qs   2 runs of 32 bytes, as in q2_k
//          64..65  d    binary16
//   weight[i] = d * (quant[i] - 1)
//   integer = quant[i] - 1
#pragma once

#include "core/unaligned.h"
#include "formats/format.h"
#include "formats/one_scale.h"
#include "formats/panel.h"

namespace qk {

struct TQ2_0 : Quantised<QuantRange{.most = 3, .bias = 1}>, PlainBlocks<TQ2_0> {
  static constexpr FormatInfo kInfo{.name = "tq2_0",
                                    .gguf_id = 35,
                                    .file_type = 37,
                                    .block = 256,
                                    .bytes = 66,
                                    .integers = "-1, 0 or 1; 2 of the spare code"};
  struct Block {
    uint8_t qs[64];
    U16 d;
  };
  static_assert(sizeof(Block) == kInfo.bytes && alignof(Block) == 1);
  static constexpr PanelElements kPanel[kMostPanelElements] = {{4, 16}, {2, 1}};

  static QK_INLINE int quant(const Block& block, int i) {
    return block.qs[32 * (i / 128) + i % 32] >> (2 * (i / 32 % 4)) & 3;
  }

  template <class I>
  static QK_INLINE typename I::Quants quants(const Block* unit, int step) {
    return I::crumbs_of_128(unit->qs, step);
  }

  template <class I>
  static QK_INLINE typename I::Words panel_quants(PanelBlock<I> block, int quad) {
    return block.crumbs_of_128(0, quad);
  }
};

}  // namespace qk
