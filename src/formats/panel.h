// Panels: the packed layout, in which a vector's lanes are rows.
//
// The blocks of I::kLanes rows lie side by side, element by element: what lies at byte o of a block
// in the file, in elements of s bytes, lies in the panel at byte rows * o as one run of `rows`
// elements. A panel is the blocks of its rows in order of depth; matrices are filled up with rows
// of zeros. Unpacking restores every byte that decoding reads.
//
// A format that can be packed says
//   kPanel                        the elements of a block, in order
//   panel_quants<I>(block, quad)  the quants of weights 4 quad .. 4 quad + 3, a word a row
//   panel_scale<I>(block, g), panel_min<I>(block, g)  of its g-th group, a float a row
//   panel_d<I>(block), panel_dmin<I>(block)  what all scales and mins of the block are multiplied
//                                 by, where there is such a number
// or, with float weights, panel_floats<I>(block). Where no idiom unpacks its blocks, it says
//   Recoded                       a block that idioms do unpack, of which all of the above speaks
//   recode(block, recoded), restore(recoded, block)  from one to the other, with all that
//                                 decoding reads
#pragma once

#include <cstdint>

#include "core/macros.h"

namespace qk {

// `count` elements of `bytes`. Of kBits elements, words of 32, the bits are moved too: bit 4 i + j
// to bit 8 j + i, so that the bits of four neighbours are those of a word's four bytes.
struct PanelElements {
  enum Kind : uint8_t { kPlain, kBits };
  int bytes = 0;
  int count = 0;
  Kind kind = kPlain;
};

inline constexpr int kMostPanelElements = 4;
inline constexpr int kMostRecodedBytes = 288;

// What panels hold of a block, F::Recoded where there is one; and its bytes.
template <class F>
struct PanelledBlockOf {
  using Type = typename F::Block;
};
template <class F>
  requires requires { typename F::Recoded; }
struct PanelledBlockOf<F> {
  using Type = typename F::Recoded;
};
template <class F>
using PanelledBlock = typename PanelledBlockOf<F>::Type;

template <class F>
consteval int panel_block_bytes() {
  return sizeof(PanelledBlock<F>);
}

// The block of a panel: native offsets go in, vectors of one element a row come out.
template <class I>
class PanelBlock {
 public:
  using Words = typename I::Words;
  using Floats = typename I::Floats;

  explicit QK_INLINE PanelBlock(const uint8_t* at) : at_(at) {}

  QK_INLINE Words word(int offset) const { return I::load_words(at_ + I::kLanes * offset); }
  QK_INLINE Words u16(int offset) const { return I::load_u16s(at_ + I::kLanes * offset); }
  QK_INLINE Words u8(int offset) const { return I::load_u8s(at_ + I::kLanes * offset); }
  QK_INLINE Words s8(int offset) const { return I::load_s8s(at_ + I::kLanes * offset); }
  QK_INLINE Floats half(int offset) const { return I::load_halves(at_ + I::kLanes * offset); }

  // The quants of weights 4 quad .. 4 quad + 3 in the layouts that the idioms of the same names
  // load row by row (isa/idioms.h), from `offset` on.
  QK_INLINE Words nibbles_of_8(int offset, int quad) const {
    return bits_of_bytes(offset + 4 * (quad / 2), 4 * (quad % 2), 15);
  }
  QK_INLINE Words nibbles_of_16(int offset, int quad) const {
    return bits_of_bytes(offset + 8 * (quad / 4) + 4 * (quad % 2), 4 * (quad / 2 % 2), 15);
  }
  QK_INLINE Words nibbles_of_32(int offset, int quad) const {
    return bits_of_bytes(offset + 4 * (quad % 4), 4 * (quad / 4), 15);
  }
  QK_INLINE Words nibbles_of_64(int offset, int quad) const {
    return bits_of_bytes(offset + 32 * (quad / 16) + 4 * (quad % 8), 4 * (quad / 8 % 2), 15);
  }
  QK_INLINE Words nibbles_of_128(int offset, int quad) const {
    return bits_of_bytes(offset + 64 * (quad / 32) + 4 * (quad % 16), 4 * (quad / 16 % 2), 15);
  }
  QK_INLINE Words crumbs_of_128(int offset, int quad) const {
    return bits_of_bytes(offset + 32 * (quad / 32) + 4 * (quad % 8), 2 * (quad / 8 % 4), 3);
  }
  QK_INLINE Words bits_of_256(int offset, int quad) const {
    return bits_of_bytes(offset + 4 * (quad % 8), quad / 8, 1);
  }
  QK_INLINE Words bits_of_32(int offset, int quad) const {
    return bits_of_bytes(offset, quad, 1);  // PanelElements::kBits
  }
  QK_INLINE Words signed_bytes(int offset, int quad) const {
    return I::xor_bits(word(offset + 4 * quad), 0x80808080u);
  }
  // A field of a word as a number.
  QK_INLINE Words field(int offset, int shift, uint32_t mask) const {
    return I::and_bits(I::shift_right(word(offset), shift), mask);
  }

 private:
  // `mask` of each byte of a word that is shifted by `shift`.
  QK_INLINE Words bits_of_bytes(int offset, int shift, uint32_t mask) const {
    return I::and_bits(I::shift_right(word(offset), shift), mask * 0x01010101u);
  }

  const uint8_t* at_;
};

// Recoded and K-quant blocks begin with d, and those with mins go on with dmin, which is taken off.
struct PanelD {
  template <class I>
  static QK_INLINE typename I::Floats panel_d(PanelBlock<I> block) {
    return block.half(0);
  }
};
struct PanelDAndMinusDmin : PanelD {
  template <class I>
  static QK_INLINE typename I::Floats panel_dmin(PanelBlock<I> block) {
    return I::negate(block.half(2));
  }
};

}  // namespace qk
