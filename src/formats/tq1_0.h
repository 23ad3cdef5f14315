// TQ1_0: a superblock of 256 ternary weights, five to a byte in base 3, one scale.
//
//   byte   0..47   qs   byte i < 32 holds weights i, 32 + i, 64 + i, 96 + i, 128 + i, the first as
//                       its highest digit; byte 32 + i, i < 16, weights 160 + i, 176 + i, ... 224 +
//                       i
//          48..51  qh   byte i: weights 240 + i, 244 + i, 248 + i, 252 + i
//          52..53  d    binary16
//   A byte is ceil(256 / 243 * number): its digit n is the high byte of 3 * (byte * 3^n mod 256).
//   weight[i] = d * (digit - 1)
//   integer = digit - 1
#pragma once

#include "core/unaligned.h"
#include "formats/bundle.h"
#include "formats/format.h"
#include "formats/octets.h"
#include "formats/one_scale.h"
#include "formats/panel.h"

namespace qk {

// 3^n for the digit n of its byte that each weight is.
struct TritPowers {
  uint8_t of[256] = {};
  constexpr TritPowers() {
    constexpr uint8_t kPowers[5] = {1, 3, 9, 27, 81};
    for (int w = 0; w < 160; ++w) of[w] = kPowers[w / 32];
    for (int w = 160; w < 240; ++w) of[w] = kPowers[(w - 160) / 16];
    for (int w = 240; w < 256; ++w) of[w] = kPowers[(w - 240) / 4];
  }
};
QK_TABLE TritPowers kTritPowers;

struct TQ1_0 : Quantised<QuantRange{.most = 2, .bias = 1}>,
               Octets<TQ1_0>,
               OneScale<TQ1_0>,
               CrumbPanels<256> {
  static constexpr FormatInfo kInfo{.name = "tq1_0",
                                    .gguf_id = 34,
                                    .file_type = 36,
                                    .block = 256,
                                    .bytes = 54,
                                    .integers = "-1, 0 or 1"};
  struct Block {
    uint8_t qs[48];
    uint8_t qh[4];
    U16 d;
  };
  static_assert(sizeof(Block) == kInfo.bytes && alignof(Block) == 1);

  // The bytes that hold the e-th eight weights, in their order. What the words have in common is
  // kept from GCC, which would put them together in memory: a wide load waits for narrow stores.
  static QK_INLINE uint64_t row(const Block& block, int e) {
    uint64_t bytes;
    if (e < 20) {
      __builtin_memcpy(&bytes, block.qs + 8 * (e % 4), sizeof(bytes));
    } else if (e < 30) {
      __builtin_memcpy(&bytes, block.qs + 32 + 8 * (e % 2), sizeof(bytes));
    } else {
      uint32_t four;
      __builtin_memcpy(&four, block.qh, sizeof(four));
      bytes = four * 0x100000001u;
    }
    QK_OPAQUE(bytes);
    return bytes;
  }

  static QK_INLINE uint64_t octet(const Block& block, int e) {
    const uint64_t bytes = row(block, e);
    uint64_t quants = 0;
    for (int i = 0; i < 8; ++i) {
      const auto rest = static_cast<uint8_t>((bytes >> (8 * i)) * kTritPowers.of[8 * e + i]);
      quants |= static_cast<uint64_t>(rest * 3 >> 8) << (8 * i);
    }
    return quants;
  }

  template <class I>
  static QK_INLINE typename I::Quants finish(typename I::Quants rows, const Block*, int step) {
    return I::digits_of_3(rows, I::load_quants(kTritPowers.of + I::kStep * step));
  }

  // Calls body(bytes, first, step, digits) for each four bytes: the quad of their first digit, how
  // many quads on the next digit's is, and how many there are.
  template <class AnyBlock, class Body>
  static QK_INLINE void for_bytes(AnyBlock& block, Body body) {
    for (int i = 0; i < 8; ++i) body(block.qs + 4 * i, i, 8, 5);
    for (int i = 0; i < 4; ++i) body(block.qs + 32 + 4 * i, 40 + i, 4, 5);
    body(block.qh, 60, 1, 4);
  }

  // Panels have two bits a weight, as no idiom finds the digits of a byte as fast as memory brings
  // it.
  static QK_INLINE void recode(const Block& block, Recoded& to) {
    uint32_t quads[64];
    for_bytes(block, [&](const uint8_t* bytes, int first, int step, int digits) {
      // Four bytes in 16 bits each, so that three times a byte has room.
      const uint64_t four = load_u32(bytes);
      uint64_t rest = (four | four << 16) & 0x0000ffff0000ffff;
      rest = (rest | rest << 8) & 0x00ff00ff00ff00ff;
      for (int n = 0; n < digits; ++n) {
        const uint64_t three = 3 * rest;
        uint64_t digit = three >> 8 & 0x0003000300030003;
        digit = (digit | digit >> 8) & 0x0000ffff0000ffff;
        quads[first + step * n] = static_cast<uint32_t>(digit | digit >> 16);
        rest = three & 0x00ff00ff00ff00ff;
      }
    });
    to.d = block.d;
    Bundle<2>::pack(quads, 64, to.quants);
  }

  // Several bytes have the same digits: what comes back is the one of the formula above.
  static QK_INLINE void restore(const Recoded& from, Block& block) {
    uint32_t quads[64];
    Bundle<2>::unpack(from.quants, 64, quads);
    for_bytes(block, [&](uint8_t* bytes, int first, int step, int digits) {
      for (int i = 0; i < 4; ++i) {
        uint32_t number = 0;
        for (int n = 0; n < 5; ++n) {
          number = 3 * number + (n < digits ? quads[first + step * n] >> (8 * i) & 3 : 0);
        }
        bytes[i] = static_cast<uint8_t>((256 * number + 242) / 243);
      }
    });
    block.d = from.d;
  }
};

}  // namespace qk
