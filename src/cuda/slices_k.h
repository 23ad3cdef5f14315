// Slices of the K-quants.
#pragma once

#include "cuda/slices.h"
#include "formats/q4_k.h"

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

// Slice c: half c % 2 of the groups 2 r and 2 r + 1, r = c / 2, whose nibbles share bytes.
template <Layout L>
struct Slices<Q4_K, L> : SliceShape<Q4_K, 32, 2, 1, 32> {
  static constexpr Field kFields[2] = {{0, 16, 0}, {16, 128, 0}};
  struct Held {
    uint32_t head[4];
    uint32_t qs[4];
  };

  static QK_DEVICE int base(int c) { return 64 * (c / 2) + 16 * (c % 2); }
  template <class At>
  static QK_DEVICE void load(const At& at, int c, Held& held) {
    at.template words<0, 4>(0, held.head);
    at.template words<1, 4>(16 * c, held.qs);
  }
  static QK_DEVICE void quads(const Held& held, int, int i, uint32_t (&out)[4]) {
#pragma unroll
    for (int q = 0; q < 4; ++q) out[q] = held.qs[q] >> (4 * i) & 0x0f0f0f0fu;
  }
  static QK_DEVICE float d(const Held& held) { return half_of(held.head[0]); }
  static QK_DEVICE int scale(const Held& held, int c, int g) {
    const ScalePairs pairs = six_bit_pairs(held.head[1], held.head[2], held.head[3], c / 2);
    return static_cast<int>(pairs.scales >> (8 * g) & 255);
  }
  static QK_DEVICE float dmin(const Held& held) { return -half_of(held.head[0] >> 16); }
  static QK_DEVICE int min(const Held& held, int c, int g) {
    const ScalePairs pairs = six_bit_pairs(held.head[1], held.head[2], held.head[3], c / 2);
    return static_cast<int>(pairs.mins >> (8 * g) & 255);
  }
};

}  // namespace qk::cuda
