// Slices of the other superblocks that multiply well as they are: q8_k, q8_ks, iq4_xs, tq2_0.
#pragma once

#include <cstdint>

#include "cuda/lookup.h"
#include "cuda/slices.h"
#include "formats/code_tables.h"
#include "formats/iq4_xs.h"
#include "formats/q8_k.h"
#include "formats/q8_ks.h"
#include "formats/tq2_0.h"

namespace qk::cuda {

template <class F>
struct SixteenBytes : SliceShape<F, 16, 1, 1, 16> {
  static constexpr bool kScaled = false;
  static constexpr bool kMinScaled = false;
  static QK_DEVICE int base(int c) { return 16 * c; }
  template <class Held>
  static QK_DEVICE void quads(const Held& held, int, int, uint32_t (&out)[4]) {
    QK_UNROLL_ALL
    for (int q = 0; q < 4; ++q) out[q] = held.qs[q];
  }
};

template <Layout L>
struct Slices<Q8_K, L> : SixteenBytes<Q8_K> {
  static constexpr Field kFields[3] = {{0, 4, 1}, {4, 256, 0}, {260, 32, kNotKept}};
  struct Held {
    uint32_t d;
    uint32_t qs[4];
  };

  template <class At>
  static QK_DEVICE void load(const At& at, int c, Held& held) {
    at.template words<1, 4>(16 * c, held.qs);
    held.d = at.template word<0>(0);
  }
  static QK_DEVICE float d(const Held& held) { return float_of_bits(held.d); }
};

template <Layout L>
struct Slices<Q8_KS, L> : SixteenBytes<Q8_KS> {
  static constexpr Field kFields[4] = {{0, 256, 0}, {256, 16, 0}, {272, 16, kNotKept}, {288, 4, 1}};
  static constexpr bool kOctets = true;
  struct Held {
    uint32_t d_and_dmin;
    uint32_t scales;  // a byte: two of four bits
    uint32_t qs[4];
  };

  template <class At>
  static QK_DEVICE void load(const At& at, int c, Held& held) {
    at.template words<0, 4>(16 * c, held.qs);
    held.scales = at.template byte<1>(c);
    held.d_and_dmin = at.template word<3>(0);
  }
  static QK_DEVICE uint32_t octets(const Held& held, int, int) {
    return (held.scales & 15) | (held.scales >> 4) << 8;
  }
  static QK_DEVICE float d(const Held& held) { return half_of(held.d_and_dmin); }
  static QK_DEVICE float dmin(const Held& held) { return half_of(held.d_and_dmin >> 16); }
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
