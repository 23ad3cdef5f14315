// Q2_0: 64 weights a block, 2 bits each, one scale.
//
//   byte   0..1   d    binary16
//          2..17  qs   byte j: weights 4 j .. 4 j + 3, the first in the lowest bits
//   weight[i] = d * (quant[i] - 1)
//   integer = quant[i] - 1
#pragma once

#include <cstdint>

#include "core/unaligned.h"
#include "formats/bundle.h"
#include "formats/format.h"
#include "formats/octets.h"
#include "formats/one_scale.h"
#include "formats/panel.h"

namespace qk {

struct Q2_0 : Quantised<QuantRange{.most = 3, .bias = 1}>,
              PlainBlocks<Q2_0>,
              OctetQuants<Q2_0>,
              CrumbPanels<64> {
  static constexpr FormatInfo kInfo{.name = "q2_0",
                                    .gguf_id = 42,
                                    .file_type = 41,
                                    .block = 64,
                                    .bytes = 18,
                                    .integers = "-1, 0, 1 or 2"};
  struct Block {
    U16 d;
    U16 qs[8];
  };
  static_assert(sizeof(Block) == kInfo.bytes && alignof(Block) == 1);

  static QK_INLINE int quant(const Block& block, int i) {
    return block.qs[i / 8].get() >> (2 * (i % 8)) & 3;
  }

  static QK_INLINE uint64_t octet(const Block& block, int e) {
    uint64_t spread = block.qs[e].get();
    spread = (spread | spread << 24) & 0x000000ff000000ff;
    spread = (spread | spread << 12) & 0x000f000f000f000f;
    return (spread | spread << 6) & 0x0303030303030303;
  }

  // Panels have a quad's four quants in four bytes, so that no word is spread for every column.
  static QK_INLINE void recode(const Block& block, Recoded& to) {
    uint32_t quads[16];
    for (int e = 0; e < 8; ++e) {
      const uint64_t eight = octet(block, e);
      quads[2 * e] = static_cast<uint32_t>(eight);
      quads[2 * e + 1] = static_cast<uint32_t>(eight >> 32);
    }
    to.d = block.d;
    Bundle<2>::pack(quads, 16, to.quants);
  }
  static QK_INLINE void restore(const Recoded& from, Block& block) {
    uint32_t quads[16];
    Bundle<2>::unpack(from.quants, 16, quads);
    for (int e = 0; e < 8; ++e) {
      uint32_t bytes[2];
      for (int i = 0; i < 2; ++i) {
        const uint32_t four = quads[2 * e + i];
        bytes[i] = (four | four >> 6 | four >> 12 | four >> 18) & 255;
      }
      block.qs[e].set(static_cast<uint16_t>(bytes[0] | bytes[1] << 8));
    }
    block.d = from.d;
  }

  // As ggml: the nearest of -d, 0 and d, where d is the largest magnitude.
  static QK_INLINE bool encode(const float* x, Block& block) {
    float d = 0.0f;
    for (int i = 0; i < kInfo.block; ++i) {
      const float magnitude = __builtin_fabsf(x[i]);
      d = magnitude > d ? magnitude : d;
    }
    const float reciprocal = 1.0f / d;
    const float inverse = reciprocal < __builtin_inff() ? reciprocal : 0.0f;
    for (int e = 0; e < 8; ++e) {
      int bits = 0;
      for (int i = 0; i < 8; ++i) {
        const float steps = x[8 * e + i] * inverse;
        bits |= (1 + (steps >= 0.5f ? 1 : 0) - (steps <= -0.5f ? 1 : 0)) << (2 * i);
      }
      block.qs[e].set(static_cast<uint16_t>(bits));
    }
    return put_scale(block, d);
  }
};

}  // namespace qk
