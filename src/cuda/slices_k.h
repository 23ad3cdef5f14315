// Slices of the K-quants with mins: q2_k, q4_k, q5_k; of q3_k and q6_k, which have none; and of q8_k
// and q8_ks.
#pragma once

#include <cstdint>

#include "cuda/slices_default.h"
#include "formats/q2_k.h"
#include "formats/q3_k.h"
#include "formats/q4_k.h"
#include "formats/q5_k.h"
#include "formats/q6_k.h"
#include "formats/q8_k.h"
#include "formats/q8_ks.h"

namespace qk::cuda {

// Two scales and two mins of 6 bits, of groups 2 r and 2 r + 1, in the low bytes of two words.
struct ScalePairs {
  uint32_t scales;
  uint32_t mins;
};

// From the 12 bytes that formats/q4_k.h draws, a b c: the masks pick what pair r is made of.
QK_DEVICE ScalePairs six_bit_pairs(uint32_t a, uint32_t b, uint32_t c, int r) {
  const int shift = 16 * (r & 1);
  const int low_shift = r < 2 ? shift : shift + 2;
  const uint32_t low_mask = r < 2 ? 0x3f3fu : 0x3030u;
  const uint32_t high_mask = r < 2 ? 0u : 0x0f0fu;
  return {(a >> low_shift & low_mask) | (c >> shift & high_mask),
          (b >> low_shift & low_mask) | (c >> (shift + 4) & high_mask)};
}

// Slice c of q4_k and q5_k: half c % 2 of groups 2 r and 2 r + 1, r = c / 2, whose nibbles share
// bytes. `head` is d, dmin and the scales, as they lie in the block.
template <class F>
struct PairOfGroups : SliceShape<F, 32, 2, 1, 32> {
  static QK_DEVICE int base(int c) { return 64 * (c / 2) + 16 * (c % 2); }

  template <class Held>
  static QK_DEVICE float d(const Held& held) {
    return half_of(held.head[0]);
  }
  template <class Held>
  static QK_DEVICE int scale(const Held& held, int c, int g) {
    const ScalePairs pairs = six_bit_pairs(held.head[1], held.head[2], held.head[3], c / 2);
    return static_cast<int>(pairs.scales >> (8 * g) & 255);
  }
  template <class Held>
  static QK_DEVICE float dmin(const Held& held) {
    return -half_of(held.head[0] >> 16);
  }
  template <class Held>
  static QK_DEVICE int min(const Held& held, int c, int g) {
    const ScalePairs pairs = six_bit_pairs(held.head[1], held.head[2], held.head[3], c / 2);
    return static_cast<int>(pairs.mins >> (8 * g) & 255);
  }
};

template <Layout L>
struct Slices<Q4_K, L> : PairOfGroups<Q4_K> {
  static constexpr Field kFields[2] = {{0, 16, 0}, {16, 128, 0}};
  struct Held {
    uint32_t head[4];
    uint32_t qs[4];
  };

  template <class At>
  static QK_DEVICE void load(const At& at, int c, Held& held) {
    at.template words<0, 4>(0, held.head);
    at.template words<1, 4>(16 * c, held.qs);
  }
  static QK_DEVICE void quads(const Held& held, int, int i, uint32_t (&out)[4]) {
    QK_UNROLL_ALL
    for (int q = 0; q < 4; ++q) out[q] = held.qs[q] >> (4 * i) & 0x0f0f0f0fu;
  }
};

template <Layout L>
struct Slices<Q5_K, L> : PairOfGroups<Q5_K> {
  static constexpr Field kFields[3] = {{0, 16, 0}, {16, 32, 0}, {48, 128, 0}};
  struct Held {
    uint32_t head[4];
    uint32_t qh[4];
    uint32_t qs[4];
  };

  template <class At>
  static QK_DEVICE void load(const At& at, int c, Held& held) {
    at.template words<0, 4>(0, held.head);
    at.template words<1, 4>(16 * (c % 2), held.qh);
    at.template words<2, 4>(16 * c, held.qs);
  }
  static QK_DEVICE void quads(const Held& held, int c, int i, uint32_t (&out)[4]) {
    QK_UNROLL_ALL
    for (int q = 0; q < 4; ++q) {
      const uint32_t high = held.qh[q] >> (c & ~1) << (4 - i);
      out[q] = (held.qs[q] >> (4 * i) & 0x0f0f0f0fu) | (high & 0x10101010u);
    }
  }
};

// Slice c: bytes 16 c of the quants, half h = c % 2 of the groups of run r = c / 2. The i-th 16
// weights are bits 2 i of those bytes, group 8 r + 2 i + h.
template <class F>
struct FourGroups : SliceShape<F, 64, 4, 1, 32> {
  static QK_DEVICE int base(int c) { return 128 * (c / 2) + 16 * (c % 2); }
};

template <Layout L>
struct Slices<Q2_K, L> : FourGroups<Q2_K> {
  static constexpr Field kFields[3] = {{0, 16, 0}, {16, 64, 0}, {80, 4, 1}};
  struct Held {
    uint32_t d_and_dmin;
    uint32_t scales[2];  // of the run's eight groups
    uint32_t qs[4];
  };

  template <class At>
  static QK_DEVICE void load(const At& at, int c, Held& held) {
    at.template words<1, 4>(16 * c, held.qs);
    at.template words<0, 2, 8>(8 * (c / 2), held.scales);
    held.d_and_dmin = at.template word<2>(0);
  }
  static QK_DEVICE void quads(const Held& held, int, int i, uint32_t (&out)[4]) {
    QK_UNROLL_ALL
    for (int q = 0; q < 4; ++q) out[q] = held.qs[q] >> (2 * i) & 0x03030303u;
  }
  static QK_DEVICE uint32_t both(const Held& held, int c, int g) {
    return held.scales[g / 2] >> (8 * (c % 2)) >> (16 * (g % 2));
  }
  static QK_DEVICE float d(const Held& held) { return half_of(held.d_and_dmin); }
  static QK_DEVICE int scale(const Held& held, int c, int g) {
    return static_cast<int>(both(held, c, g) & 15);
  }
  static QK_DEVICE float dmin(const Held& held) { return -half_of(held.d_and_dmin >> 16); }
  static QK_DEVICE int min(const Held& held, int c, int g) {
    return static_cast<int>(both(held, c, g) >> 4 & 15);
  }
};

// Quants at the top of their bytes, 32 times themselves: 32 * 4 * 16 * 32639 * 32 is 2.139e9, which
// is less than 2^31.
template <Layout L>
struct Slices<Q3_K, L> : FourGroups<Q3_K> {
  static constexpr Field kFields[4] = {{0, 32, 0}, {32, 64, 0}, {96, 12, 1}, {108, 2, 2}};
  static constexpr float kFactor = 32.0f;
  struct Held {
    uint32_t d;
    uint32_t scales[3];
    uint32_t hmask[4];
    uint32_t qs[4];
  };

  template <class At>
  static QK_DEVICE void load(const At& at, int c, Held& held) {
    at.template words<1, 4>(16 * c, held.qs);
    at.template words<0, 4>(16 * (c % 2), held.hmask);
    at.template words<2, 3, 4>(0, held.scales);
    held.d = at.template half<3>(0);
  }
  static QK_DEVICE void quads(const Held& held, int c, int i, uint32_t (&out)[4]) {
    QK_UNROLL_ALL
    for (int q = 0; q < 4; ++q) {
      const uint32_t low = i == 3 ? held.qs[q] >> 1 : held.qs[q] << (5 - 2 * i);
      const uint32_t high = held.hmask[q] >> (4 * (c / 2)) << (7 - i);
      out[q] = (low & 0x60606060u) | ((high & 0x80808080u) ^ 0x80808080u);
    }
  }
  static QK_DEVICE float d(const Held& held) { return half_of(held.d) / kFactor; }
  // Bytes h and 2 + h of the first or of the second word have the low bits of groups i = 0, 1 or
  // 2, 3 in nibble r; the same bytes of the third have the high bits at 4 r + 2 (i / 2).
  static QK_DEVICE int scale(const Held& held, int c, int g) {
    const int shift = 4 * (c / 2) + 8 * (c % 2);
    const uint32_t low = held.scales[g / 2] >> shift & 0x000f000fu;
    const uint32_t high = g < 2 ? held.scales[2] >> shift << 4 : held.scales[2] >> shift << 2;
    const uint32_t pair = low | (high & 0x00300030u);
    return static_cast<int>(pair >> (16 * (g % 2)) & 255) - 32;
  }
};

// Slice c, with the bits c = 4 r + 2 a + h: bytes 16 c of the low nibbles, which hold groups
// 8 r + 2 a + h and, in the high nibbles, 4 more. Quants are four times themselves.
template <Layout L>
struct Slices<Q6_K, L> : SliceShape<Q6_K, 32, 2, 1, 64> {
  static constexpr Field kFields[4] = {{0, 128, 0}, {128, 64, 0}, {192, 16, 0}, {208, 2, 1}};
  static constexpr float kFactor = 4.0f;
  struct Held {
    uint32_t d;
    uint32_t scales[2];
    uint32_t qh[4];
    uint32_t ql[4];
  };

  static QK_DEVICE int base(int c) { return 128 * (c / 4) + 16 * (c % 4); }
  template <class At>
  static QK_DEVICE void load(const At& at, int c, Held& held) {
    const int group = 8 * (c / 4) + c % 4;
    at.template words<0, 4>(16 * c, held.ql);
    at.template words<1, 4>(32 * (c / 4) + 16 * (c % 2), held.qh);
    held.scales[0] = at.template byte<2>(group);
    held.scales[1] = at.template byte<2>(group + 4);
    held.d = at.template half<3>(0);
  }
  static QK_DEVICE void quads(const Held& held, int c, int i, uint32_t (&out)[4]) {
    QK_UNROLL_ALL
    for (int q = 0; q < 4; ++q) {
      const uint32_t low = i == 0 ? held.ql[q] << 2 : held.ql[q] >> 2;
      const uint32_t high = held.qh[q] >> (c & 2) << (6 - 4 * i);
      out[q] = (low & 0x3c3c3c3cu) | ((high & 0xc0c0c0c0u) ^ 0x80808080u);
    }
  }
  static QK_DEVICE float d(const Held& held) { return half_of(held.d) / kFactor; }
  // A float: 128 times a sum of 16 * 128 * 32639 is no int.
  static QK_DEVICE float scale(const Held& held, int, int g) {
    return signed_byte(held.scales[g], 0);
  }
};

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

}  // namespace qk::cuda
