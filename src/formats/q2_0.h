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
#include "formats/one_scale.h"
#include "formats/panel.h"

namespace qk {

struct Q2_0 : Quantised<QuantRange{.most = 3, .bias = 1}>, PlainBlocks<Q2_0>, CrumbPanels<64> {
  static constexpr FormatInfo kInfo{.name = "q2_0",
                                    .gguf_id = 42,
                                    .file_type = 41,
                                    .block = 64,
                                    .bytes = 18,
                                    .integers = "-1, 0, 1 or 2"};
  struct Block {
    U16 d;
    uint8_t qs[16];
  };
  static_assert(sizeof(Block) == kInfo.bytes && alignof(Block) == 1);

  static QK_INLINE int quant(const Block& block, int i) {
    return block.qs[i / 4] >> (2 * (i % 4)) & 3;
  }

  static QK_INLINE uint64_t octet(const Block& block, int e) {
    auto spread = static_cast<uint64_t>(block.qs[2 * e] | block.qs[2 * e + 1] << 8);
    spread = (spread | spread << 24) & 0x000000ff000000ff;
    spread = (spread | spread << 12) & 0x000f000f000f000f;
    return (spread | spread << 6) & 0x0303030303030303;
  }

  template <class I>
  static QK_INLINE typename I::Quants quants(const Block* unit, int step) {
    const int first = I::kStep * step;
    const uint8_t* crumbs = unit[first / kInfo.block].qs + first % kInfo.block / 4;
    return I::template crumbs_of_32<8>(crumbs);
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
    for (int j = 0; j < 16; ++j) {
      const uint32_t four = quads[j];
      block.qs[j] = static_cast<uint8_t>(four | four >> 6 | four >> 12 | four >> 18);
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
    for (int j = 0; j < 16; ++j) {
      int bits = 0;
      for (int i = 0; i < 4; ++i) {
        const float steps = x[4 * j + i] * inverse;
        bits |= (1 + (steps >= 0.5f ? 1 : 0) - (steps <= -0.5f ? 1 : 0)) << (2 * i);
      }
      block.qs[j] = static_cast<uint8_t>(bits);
    }
    return put_scale(block, d);
  }
};

}  // namespace qk
