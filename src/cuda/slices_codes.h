// Slices of the formats whose weights are codes: of a table, or three values. tq1_0 has the default
// ones.
#pragma once

#include <cstdint>

#include "cuda/lookup.h"
#include "cuda/slices_default.h"
#include "formats/code_tables.h"
#include "formats/iq4_nl.h"
#include "formats/iq4_xs.h"
#include "formats/mxfp4.h"
#include "formats/nvfp4.h"
#include "formats/tq2_0.h"

namespace qk::cuda {

template <Layout L>
struct Slices<IQ4_NL, L> : BlockOfNibbles<IQ4_NL> {
  static constexpr Field kFields[2] = {{0, 2, 1}, {2, 16, 0}};
  struct Held {
    uint32_t d;
    uint32_t qs[4];
  };

  template <class At>
  static QK_DEVICE void load(const At& at, int, Held& held) {
    at.template words<1, 4>(0, held.qs);
    held.d = at.template half<0>(0);
  }
  static QK_DEVICE void quads(const Held& held, int, int i, uint32_t (&out)[4]) {
    constexpr ByteTable kTable = byte_table(kIq4Values, kIq4Bias);
    QK_UNROLL_ALL
    for (int q = 0; q < 4; ++q) out[q] = look_up_nibbles(kTable, held.qs[q], i);
  }
  static QK_DEVICE float d(const Held& held) { return half_of(held.d); }
};

template <Layout L>
struct Slices<MXFP4, L> : BlockOfNibbles<MXFP4> {
  static constexpr Field kFields[2] = {{0, 1, 1}, {1, 16, 0}};
  struct Held {
    uint32_t e;
    uint32_t qs[4];
  };

  template <class At>
  static QK_DEVICE void load(const At& at, int, Held& held) {
    at.template words<1, 4>(0, held.qs);
    held.e = at.template byte<0>(0);
  }
  static QK_DEVICE void quads(const Held& held, int, int i, uint32_t (&out)[4]) {
    constexpr ByteTable kTable = byte_table(kE2m1Values, kE2m1Bias);
    QK_UNROLL_ALL
    for (int q = 0; q < 4; ++q) out[q] = look_up_nibbles(kTable, held.qs[q], i);
  }
  static QK_DEVICE float d(const Held& held) {
    MXFP4::Block block;
    block.e = static_cast<uint8_t>(held.e);
    return MXFP4::block_scale(block);
  }
};

// Word w of a block has codes as q4_0 has, of 16 weights in 8 bytes: weights 0 .. 7 in the low
// nibbles, the others in the high ones. A scale is decoded from its byte.
template <Layout L>
struct Slices<NVFP4, L> : SliceShape<NVFP4, 32, 2, 1, 16> {
  static constexpr Field kFields[2] = {{0, 4, 1}, {4, 32, 0}};
  struct Held {
    uint32_t scales;
    uint32_t qs[4];
  };

  static QK_DEVICE int base(int c) { return 32 * c; }
  template <class At>
  static QK_DEVICE void load(const At& at, int c, Held& held) {
    at.template words<1, 4>(16 * c, held.qs);
    held.scales = at.template word<0>(0);
  }
  static QK_DEVICE void quads(const Held& held, int, int i, uint32_t (&out)[4]) {
    constexpr ByteTable kTable = byte_table(kE2m1Values, kE2m1Bias);
    QK_UNROLL_ALL
    for (int q = 0; q < 4; ++q) {
      out[q] = look_up_nibbles(kTable, held.qs[2 * i + q % 2], q / 2);
    }
  }
  static QK_DEVICE float d(const Held&) { return 1.0f; }
  static QK_DEVICE float scale(const Held& held, int c, int g) {
    NVFP4::Block block;
    block.d[0] = static_cast<uint8_t>(held.scales >> (16 * c + 8 * g));
    return NVFP4::group_scale(block, 0);
  }
};

// Slice c is group c.
template <Layout L>
struct Slices<IQ4_XS, L> : SliceShape<IQ4_XS, 32, 1, 2, 16> {
  static constexpr Field kFields[4] = {{0, 2, 1}, {2, 2, 1}, {4, 4, 1}, {8, 128, 0}};
  struct Held {
    uint32_t head[2];  // d, and two bits of each scale; four bits of each
    uint32_t qs[4];
  };

  static QK_DEVICE int base(int c) { return 32 * c; }
  template <class At>
  static QK_DEVICE void load(const At& at, int c, Held& held) {
    at.template words<3, 4>(16 * c, held.qs);
    at.template words<0, 2>(0, held.head);
  }
  static QK_DEVICE void quads(const Held& held, int, int i, uint32_t (&out)[4]) {
    constexpr ByteTable kTable = byte_table(kIq4Values, kIq4Bias);
    QK_UNROLL_ALL
    for (int q = 0; q < 4; ++q) out[q] = look_up_nibbles(kTable, held.qs[q], i);
  }
  static QK_DEVICE float d(const Held& held) { return half_of(held.head[0]); }
  // A float: 32 times a sum of 32 * 127 * 32639 is no int.
  static QK_DEVICE float scale(const Held& held, int c, int) {
    const uint32_t low = held.head[1] >> (4 * c) & 15;
    const uint32_t high = held.head[0] >> (16 + 2 * c) & 3;
    return static_cast<float>(static_cast<int>(low | high << 4) - 32);
  }
};

// As q2_k's quants, with one scale for all.
template <Layout L>
struct Slices<TQ2_0, L> : SliceShape<TQ2_0, 64, 4, 1, 32> {
  static constexpr Field kFields[2] = {{0, 64, 0}, {64, 2, 1}};
  static constexpr bool kScaled = false;
  struct Held {
    uint32_t d;
    uint32_t qs[4];
  };

  static QK_DEVICE int base(int c) { return 128 * (c / 2) + 16 * (c % 2); }
  template <class At>
  static QK_DEVICE void load(const At& at, int c, Held& held) {
    at.template words<0, 4>(16 * c, held.qs);
    held.d = at.template half<1>(0);
  }
  // One less in each byte: 0x7f + quant carries nowhere.
  static QK_DEVICE void quads(const Held& held, int, int i, uint32_t (&out)[4]) {
    QK_UNROLL_ALL
    for (int q = 0; q < 4; ++q) {
      out[q] = ((held.qs[q] >> (2 * i) & 0x03030303u) + 0x7f7f7f7fu) ^ 0x80808080u;
    }
  }
  static QK_DEVICE float d(const Held& held) { return half_of(held.d); }
};

}  // namespace qk::cuda
