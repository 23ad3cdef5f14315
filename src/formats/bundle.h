// Quants of any number of bits in panels' words, so that words are read once and in order.
//
// A bundle is the fewest words whose bytes hold a whole number of quants: kQuads quads of weights
// (four neighbours, a byte each) in kWords words. A byte holds kWhole fields of kBits from its
// lowest bit on; the bits that remain at its top are strung together, word after word, lowest bits
// first, into the quads that are left:
//
//   bits   words   quads   a byte of word w
//   2      1       4       q0 q1 q2 q3
//   3      3       8       q[2 w], q[2 w + 1], then two bits of q6 q7
//   5      5       8       q[w], then three bits of q5 q6 q7
//   6      3       4       q[w], then two bits of q3
#pragma once

#include <cstdint>

#include "core/macros.h"
#include "core/unaligned.h"
#include "formats/panel.h"

namespace qk {

template <int kBits>
struct BundleShape {
  static constexpr int kWords = kBits % 2 != 0 ? kBits : kBits / 2;
  static constexpr int kQuads = 8 * kWords / kBits;
  static constexpr int kWhole = 8 / kBits;
  static constexpr int kSpare = 8 % kBits;  // bits above the whole fields
  static_assert(kBits == 2 || kBits == 3 || kBits == 5 || kBits == 6);
};

// `bits` bits at `shift` of a byte of a bundle's word are those from `at` on of a quant.
struct BundlePiece {
  int word = 0;
  int shift = 0;
  int at = 0;
  int bits = 0;
};

// The pieces that each quad of a bundle is in.
template <int kBits>
struct BundlePieces : BundleShape<kBits> {
  static constexpr int kMost = 3;
  BundlePiece of[BundleShape<kBits>::kQuads][kMost] = {};

  constexpr BundlePieces() {
    constexpr int kInWhole = BundlePieces::kWords * BundlePieces::kWhole;
    for (int i = 0; i < kInWhole; ++i) {
      of[i][0] = {i / BundlePieces::kWhole, kBits * (i % BundlePieces::kWhole), 0, kBits};
    }
    int word = 0;
    int left = BundlePieces::kSpare;  // spare bits of the word that are not taken
    for (int i = kInWhole; i < BundlePieces::kQuads; ++i) {
      int at = 0;
      for (BundlePiece& piece : of[i]) {
        const int bits = left < kBits - at ? left : kBits - at;
        piece = {word, 8 - left, at, bits};
        at += bits;
        left -= bits;
        if (left == 0) {
          ++word;
          left = BundlePieces::kSpare;
        }
      }
    }
  }
};

template <int kBits>
struct Bundle : BundleShape<kBits> {
  using BundleShape<kBits>::kWords;
  using BundleShape<kBits>::kQuads;
  using Piece = BundlePiece;

  // Calls body(piece) for each piece of quad i. The plan is no static member: that would be a
  // symbol which kernel objects of several ISAs define.
  template <class Body>
  static QK_INLINE void for_pieces(int i, Body body) {
    constexpr BundlePieces<kBits> kPieces;
    QK_UNROLL(3)
    for (int p = 0; p < kPieces.kMost; ++p) {
      if (const Piece piece = kPieces.of[i][p]; piece.bits != 0) body(piece);
    }
  }

  // Quad `quad` of a block whose bundles begin at `offset`.
  template <class I>
  static QK_INLINE typename I::Words quants(PanelBlock<I> block, int offset, int quad) {
    const auto q = static_cast<unsigned>(quad);
    const int first = offset + 4 * kWords * static_cast<int>(q / kQuads);
    typename I::Words result{};
    for_pieces(static_cast<int>(q % kQuads), [&](Piece p) __attribute__((always_inline)) {
      const auto bytes = block.word(first + 4 * p.word);
      const auto moved = p.shift >= p.at ? I::shift_right(bytes, p.shift - p.at)
                                         : I::shift_left(bytes, p.at - p.shift);
      const auto bits = I::and_bits(moved, mask(p) << p.at);
      result = p.at == 0 ? bits : I::or_words(result, bits);
    });
    return result;
  }

  // The bundles of `count` quads, and back.
  static QK_INLINE void pack(const uint32_t* quads, int count, U32* words) {
    for (; count > 0; count -= kQuads, quads += kQuads, words += kWords) {
      uint32_t bundle[kWords] = {};
      QK_UNROLL(8)
      for (int i = 0; i < kQuads; ++i) {
        for_pieces(i, [&](Piece p) __attribute__((always_inline)) {
          bundle[p.word] |= (quads[i] >> p.at & mask(p)) << p.shift;
        });
      }
      for (int w = 0; w < kWords; ++w) words[w].set(bundle[w]);
    }
  }
  static QK_INLINE void unpack(const U32* words, int count, uint32_t* quads) {
    for (; count > 0; count -= kQuads, quads += kQuads, words += kWords) {
      QK_UNROLL(8)
      for (int i = 0; i < kQuads; ++i) {
        quads[i] = 0;
        for_pieces(i, [&](Piece p) __attribute__((always_inline)) {
          quads[i] |= (words[p.word].get() >> p.shift & mask(p)) << p.at;
        });
      }
    }
  }

 private:
  static QK_INLINE uint32_t mask(Piece p) { return 0x01010101u * ((1u << p.bits) - 1); }
};

// What panels hold of a block of kBlock weights that have two bits each and one scale: the base of
// formats that are recoded to it.
template <int kBlock>
struct CrumbPanels {
  static constexpr bool kPanelsOfCrumbs = true;
  struct Recoded {
    U16 d;
    U32 quants[kBlock / 16];
  };
  static constexpr PanelElements kPanel[kMostPanelElements] = {{2, 1}, {4, kBlock / 16}};

  template <class I>
  static QK_INLINE typename I::Words panel_quants(PanelBlock<I> block, int quad) {
    return Bundle<2>::quants(block, 2, quad);
  }
};

// Bits of eight quads in a native block, whose words lie side by side: `bits` bits at `shift` of
// the bytes from byte `at` on are those from `to` on of their quants.
struct QuadField {
  int at;
  int shift;
  int bits;
  int to;
};

// Recoding of quants to bundles and back. A format gives for_fields(e, body), which calls
// body(field) for each field of its e-th eight quads.
template <class F, int kBits>
struct Bundled {
  static constexpr int kQuads = F::kInfo.block / 4;

  template <class Block>
  static QK_INLINE void pack(const Block& block, U32* words) {
    const auto* bytes = reinterpret_cast<const uint8_t*>(&block);
    uint32_t quads[kQuads] = {};
    for (int e = 0; e < kQuads / 8; ++e) {
      F::for_fields(e, [&](QuadField f) __attribute__((always_inline)) {
        for (int i = 0; i < 8; ++i) {
          quads[8 * e + i] |= (load_u32(bytes + f.at + 4 * i) >> f.shift & mask(f)) << f.to;
        }
      });
    }
    Bundle<kBits>::pack(quads, kQuads, words);
  }
  // Into a block whose quants are zeros.
  template <class Block>
  static QK_INLINE void unpack(const U32* words, Block& block) {
    auto* bytes = reinterpret_cast<uint8_t*>(&block);
    uint32_t quads[kQuads];
    Bundle<kBits>::unpack(words, kQuads, quads);
    for (int e = 0; e < kQuads / 8; ++e) {
      F::for_fields(e, [&](QuadField f) __attribute__((always_inline)) {
        for (int i = 0; i < 8; ++i) {
          or_u32(bytes + f.at + 4 * i, (quads[8 * e + i] >> f.to & mask(f)) << f.shift);
        }
      });
    }
  }

 private:
  static QK_INLINE uint32_t mask(QuadField f) { return 0x01010101u * ((1u << f.bits) - 1); }
};

}  // namespace qk
