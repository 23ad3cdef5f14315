// How the quants of 32 weights lie in a block: what the formats q4_0 to q8_1, iq4_nl and mxfp4
// share. A format derives from PlainBlocks<itself> (formats/one_scale.h) and from one of these.
#pragma once

#include <cstddef>
#include <cstdint>

#include "formats/format.h"
#include "formats/panel.h"

namespace qk {

// 16 bytes `qs`: byte j has weight j in its low nibble and weight j + 16 in the high one.
template <class F>
struct Nibbles {
  template <class Block>
  static QK_INLINE int quant(const Block& block, int i) {
    return i < 16 ? block.qs[i] & 15 : block.qs[i - 16] >> 4;
  }
  template <class I, class Block>
  static QK_INLINE typename I::Quants quants(const Block* unit, int step) {
    return I::template nibbles_of_32<sizeof(Block)>(unit[step * (I::kStep / 32)].qs);
  }
  template <class I>
  static QK_INLINE typename I::Words panel_quants(PanelBlock<I> block, int quad) {
    return block.nibbles_of_32(offsetof(typename F::Block, qs), quad);
  }
};

// The same as codes of a table, F::values().
template <class F>
struct NibbleCodes {
  template <class Block>
  static QK_INLINE int quant(const Block& block, int i) {
    return F::values()[Nibbles<F>::quant(block, i)];
  }
  template <class I, class Block>
  static QK_INLINE typename I::Quants quants(const Block* unit, int step) {
    return I::look_up(Nibbles<F>::template quants<I>(unit, step), F::values());
  }
  template <class I>
  static QK_INLINE typename I::Words panel_quants(PanelBlock<I> block, int quad) {
    return I::look_up_bytes(Nibbles<F>::panel_quants(block, quad), F::values());
  }
};

// The same with a fifth bit from `qh`, whose bit i is bit 4 of weight i.
template <class F>
struct NibblesAndFifthBits {
  template <class Block>
  static QK_INLINE int quant(const Block& block, int i) {
    return Nibbles<F>::quant(block, i) | (block.qh[i / 8] >> (i % 8) & 1) << 4;
  }
  template <class I, class Block>
  static QK_INLINE typename I::Quants quants(const Block* unit, int step) {
    const uint8_t* high = unit[step * (I::kStep / 32)].qh;
    return I::template combine<4>(Nibbles<F>::template quants<I>(unit, step),
                                  I::template bits_of_32<sizeof(Block)>(high));
  }
  template <class I>
  static QK_INLINE typename I::Words panel_quants(PanelBlock<I> block, int quad) {
    const auto high = block.bits_of_32(offsetof(typename F::Block, qh), quad);
    return I::or_words(Nibbles<F>::panel_quants(block, quad), I::shift_left(high, 4));
  }
};

// 32 int8 `qs`, which become quants by adding 128.
template <class F>
struct SignedBytes {
  template <class Block>
  static QK_INLINE int quant(const Block& block, int i) {
    return block.qs[i] + 128;
  }
  template <class I, class Block>
  static QK_INLINE typename I::Quants quants(const Block* unit, int step) {
    return I::template signed_bytes<sizeof(Block)>(unit[step * (I::kStep / 32)].qs);
  }
  template <class I>
  static QK_INLINE typename I::Words panel_quants(PanelBlock<I> block, int quad) {
    return block.signed_bytes(offsetof(typename F::Block, qs), quad);
  }
};

}  // namespace qk
