// Slices of the formats with small blocks: 16 bytes of nibbles or signs are a block, 16 of bytes are
// half.
#pragma once

#include <cstdint>

#include "cuda/slices_default.h"
#include "formats/q1_0.h"
#include "formats/q4_0.h"
#include "formats/q4_1.h"
#include "formats/q5_0.h"
#include "formats/q5_1.h"
#include "formats/q8_0.h"
#include "formats/q8_1.h"

namespace qk::cuda {

template <Layout L>
struct Slices<Q4_0, L> : BlockOfNibbles<Q4_0> {
  static constexpr Field kFields[2] = {{0, 2, 1}, {2, 16, 0}};
  static constexpr float kFactor = 16.0f;
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
    QK_UNROLL_ALL
    for (int q = 0; q < 4; ++q) {
      const uint32_t at_top = i == 0 ? held.qs[q] << 4 : held.qs[q];
      out[q] = (at_top & 0xf0f0f0f0u) ^ 0x80808080u;
    }
  }
  static QK_DEVICE float d(const Held& held) { return half_of(held.d) / kFactor; }
};

template <Layout L>
struct Slices<Q4_1, L> : BlockOfNibbles<Q4_1> {
  static constexpr Field kFields[2] = {{0, 4, 1}, {4, 16, 0}};
  struct Held {
    uint32_t d_and_m;
    uint32_t qs[4];
  };

  template <class At>
  static QK_DEVICE void load(const At& at, int, Held& held) {
    at.template words<1, 4>(0, held.qs);
    held.d_and_m = at.template word<0>(0);
  }
  static QK_DEVICE void quads(const Held& held, int, int i, uint32_t (&out)[4]) {
    QK_UNROLL_ALL
    for (int q = 0; q < 4; ++q) out[q] = held.qs[q] >> (4 * i) & 0x0f0f0f0fu;
  }
  static QK_DEVICE float d(const Held& held) { return half_of(held.d_and_m); }
  static QK_DEVICE float dmin(const Held& held) { return half_of(held.d_and_m >> 16); }
};

// Bits 4 q .. 4 q + 3 of a word, each to a byte of its own, at `bit`: bit j meets the factor's bit
// at 7 j + bit, and no two products fall on one place.
QK_DEVICE uint32_t spread_bits(uint32_t bits, int q, int bit) {
  return (bits >> (4 * q) & 15) * (0x00204081u << bit);
}

template <Layout L>
struct Slices<Q5_0, L> : BlockOfNibbles<Q5_0> {
  static constexpr Field kFields[3] = {{0, 2, 2}, {2, 4, 1}, {6, 16, 0}};
  static constexpr float kFactor = 8.0f;
  struct Held {
    uint32_t d;
    uint32_t qh;
    uint32_t qs[4];
  };

  template <class At>
  static QK_DEVICE void load(const At& at, int, Held& held) {
    at.template words<2, 4>(0, held.qs);
    held.qh = at.template word<1>(0);
    held.d = at.template half<0>(0);
  }
  static QK_DEVICE void quads(const Held& held, int, int i, uint32_t (&out)[4]) {
    QK_UNROLL_ALL
    for (int q = 0; q < 4; ++q) {
      const uint32_t low = i == 0 ? held.qs[q] << 3 : held.qs[q] >> 1;
      const uint32_t high = (spread_bits(held.qh, 4 * i + q, 7) & 0x80808080u) ^ 0x80808080u;
      out[q] = (low & 0x78787878u) | high;
    }
  }
  static QK_DEVICE float d(const Held& held) { return half_of(held.d) / kFactor; }
};

template <Layout L>
struct Slices<Q5_1, L> : BlockOfNibbles<Q5_1> {
  static constexpr Field kFields[2] = {{0, 8, 1}, {8, 16, 0}};
  struct Held {
    uint32_t head[2];  // d and m; qh
    uint32_t qs[4];
  };

  template <class At>
  static QK_DEVICE void load(const At& at, int, Held& held) {
    at.template words<1, 4>(0, held.qs);
    at.template words<0, 2>(0, held.head);
  }
  static QK_DEVICE void quads(const Held& held, int, int i, uint32_t (&out)[4]) {
    QK_UNROLL_ALL
    for (int q = 0; q < 4; ++q) {
      const uint32_t high = spread_bits(held.head[1], 4 * i + q, 4) & 0x10101010u;
      out[q] = (held.qs[q] >> (4 * i) & 0x0f0f0f0fu) | high;
    }
  }
  static QK_DEVICE float d(const Held& held) { return half_of(held.head[0]); }
  static QK_DEVICE float dmin(const Held& held) { return half_of(held.head[0] >> 16); }
};

// Sixteen int8 of a block of 32, behind a head of which the first two bytes are d.
template <class F, int kHeadBytes, Layout L>
struct HalfBlockOfBytes : SliceShape<F, 16, 1, 1, 16> {
  static constexpr Field kFields[2] = {{0, 2, 1}, {kHeadBytes, 32, 0}};
  static constexpr bool kScaled = false;
  struct Held {
    uint32_t d;
    uint32_t qs[4];
  };

  static QK_DEVICE int base(int c) { return 16 * c; }
  template <class At>
  static QK_DEVICE void load(const At& at, int c, Held& held) {
    at.template words<1, 4>(16 * c, held.qs);
    held.d = at.template half<0>(0);
  }
  static QK_DEVICE void quads(const Held& held, int, int, uint32_t (&out)[4]) {
    QK_UNROLL_ALL
    for (int q = 0; q < 4; ++q) out[q] = held.qs[q];
  }
  static QK_DEVICE float d(const Held& held) { return half_of(held.d); }
};

template <Layout L>
struct Slices<Q8_0, L> : HalfBlockOfBytes<Q8_0, 2, L> {};
template <Layout L>
struct Slices<Q8_1, L> : HalfBlockOfBytes<Q8_1, 4, L> {};

// A block of signs: word w of the quants has weights 32 w .. 32 w + 31, a bit each. Packed, a slice
// is a block; as blocks lie in a file, half of one, as more of such loads leave no registers.
template <Layout L>
struct Slices<Q1_0, L>
    : SliceShape<Q1_0, L == Layout::kPlanes ? 128 : 64, L == Layout::kPlanes ? 4 : 2, 2, 16> {
  static constexpr int kWords = L == Layout::kPlanes ? 4 : 2;
  static constexpr Field kFields[2] = {{0, 2, 1}, {2, 16, 0}};
  static constexpr bool kScaled = false;
  struct Held {
    uint32_t d;
    uint32_t qs[kWords];
  };

  static QK_DEVICE int base(int c) { return 32 * kWords * c; }
  template <class At>
  static QK_DEVICE void load(const At& at, int c, Held& held) {
    at.template words<1, kWords>(4 * kWords * c, held.qs);
    held.d = at.template half<0>(0);
  }
  // Twice a bit, and one less in each byte: 0x7f + 2 carries nowhere.
  static QK_DEVICE void quads(const Held& held, int, int i, uint32_t (&out)[4]) {
    const uint32_t bits = held.qs[i / 2] >> (16 * (i % 2));
    QK_UNROLL_ALL
    for (int q = 0; q < 4; ++q) {
      out[q] = ((spread_bits(bits, q, 1) & 0x02020202u) + 0x7f7f7f7fu) ^ 0x80808080u;
    }
  }
  static QK_DEVICE float d(const Held& held) { return half_of(held.d); }
};

}  // namespace qk::cuda
