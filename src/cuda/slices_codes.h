// Slices of the formats that decode eight weights at a time: the grids and tq1_0; and nvfp4.
//
// As they lie in a file, grids and tq1_0 are decoded eight weights at a time as on the CPU, and
// multiplied like any others. Packed, they are what CPU panels recode them to: codes of four bits
// and a byte a scale (formats/grid_panel.h), or two bits a weight.
#pragma once

#include <cstdint>

#include "cuda/lookup.h"
#include "cuda/slices.h"
#include "formats/iq1_m.h"
#include "formats/iq1_s.h"
#include "formats/iq2_s.h"
#include "formats/iq2_xs.h"
#include "formats/iq2_xxs.h"
#include "formats/iq3_s.h"
#include "formats/iq3_xxs.h"
#include "formats/nvfp4.h"
#include "formats/tq1_0.h"

namespace qk::cuda {

// 32 weights, four octets, that share one scale or two.
template <class F>
struct SlicesOfOctets : SliceShape<F, 32, 32 / F::kGroup, F::kGroup / 16, 16> {
  static constexpr Field kFields[1] = {{0, F::kInfo.bytes, 0}};
  static constexpr bool kTakesManyRegisters = true;
  struct Held {
    const typename F::Block* block;
  };

  static QK_DEVICE int base(int c) { return 32 * c; }
  template <class At>
  static QK_DEVICE void load(const At& at, int, Held& held) {
    held.block = reinterpret_cast<const typename F::Block*>(at.template address<0>());
  }
  static QK_DEVICE void quads(const Held& held, int c, int i, uint32_t (&out)[4]) {
    constexpr uint32_t kHigh = 0x80808080u;
    constexpr uint32_t kBiases = 0x01010101u * F::kBias;
    QK_UNROLL_ALL
    for (int e = 0; e < 2; ++e) {
      const uint64_t quants = F::octet(*held.block, 4 * c + 2 * i + e);
      // Quants are below 128: no byte borrows.
      out[2 * e] = ((static_cast<uint32_t>(quants) | kHigh) - kBiases) ^ kHigh;
      out[2 * e + 1] = ((static_cast<uint32_t>(quants >> 32) | kHigh) - kBiases) ^ kHigh;
    }
  }
  static QK_DEVICE float d(const Held&) { return 1.0f; }
  static QK_DEVICE float scale(const Held& held, int c, int g) {
    return F::group_scale(*held.block, 32 / F::kGroup * c + g);
  }
};

// Grids and tq1_0, as they lie in a file.
template <class F>
  requires(requires(typename F::Block block) { F::row(block, 0); })
struct Slices<F, Layout::kNative> : SlicesOfOctets<F> {};

// RecodedGrid: d, scales, codes. Word w of the codes has weights 8 w .. 8 w + 3 in the low nibbles
// of its bytes and the next four in the high ones.
template <class F>
  requires requires { F::kCodeShift; }
struct Slices<F, Layout::kPacked> : SliceShape<F, 32, 32 / F::kGroup, F::kGroup / 16, 16> {
  static constexpr bool kRecoded = true;
  static constexpr ByteTable kValues = byte_table(F::kCodeQuants, F::kBias);
  static constexpr int kScales = kUnit / F::kGroup;
  static constexpr Field kFields[3] = {{0, 2, 2}, {2, kScales, 1}, {2 + kScales, 128, 0}};
  struct Held {
    uint32_t d;
    uint32_t scales[2];
    uint32_t codes[4];
  };

  static QK_DEVICE int base(int c) { return 32 * c; }
  template <class At>
  static QK_DEVICE void load(const At& at, int c, Held& held) {
    at.template words<2, 4>(16 * c, held.codes);
    QK_UNROLL_ALL
    for (int g = 0; g < 32 / F::kGroup; ++g) {
      held.scales[g] = at.template byte<1>(32 / F::kGroup * c + g);
    }
    held.d = at.template half<0>(0);
  }
  static QK_DEVICE void quads(const Held& held, int, int i, uint32_t (&out)[4]) {
    constexpr ByteTable kTable = kValues;
    QK_UNROLL_ALL
    for (int q = 0; q < 4; ++q) {
      out[q] = look_up_nibbles(kTable, held.codes[2 * i + q / 2], q % 2);
    }
  }
  static QK_DEVICE float d(const Held& held) { return half_of(held.d) * F::kScaleUnit; }
  // At most 31 times a sum of 32 * 62 * 32639: 2.008e9, which is less than 2^31.
  static QK_DEVICE int scale(const Held& held, int, int g) {
    return static_cast<int>(held.scales[g]);
  }
};

// Word w of the quants has weights 16 w .. 16 w + 3 in the lowest two bits of its bytes, and so on.
template <>
struct Slices<TQ1_0, Layout::kPacked> : SliceShape<TQ1_0, 64, 2, 2, 16> {
  static constexpr bool kRecoded = true;
  static constexpr Field kFields[2] = {{0, 2, 1}, {2, 64, 0}};
  static constexpr bool kScaled = false;
  struct Held {
    uint32_t d;
    uint32_t qs[4];
  };

  static QK_DEVICE int base(int c) { return 64 * c; }
  template <class At>
  static QK_DEVICE void load(const At& at, int c, Held& held) {
    at.template words<1, 4>(16 * c, held.qs);
    held.d = at.template half<0>(0);
  }
  static QK_DEVICE void quads(const Held& held, int, int i, uint32_t (&out)[4]) {
    QK_UNROLL_ALL
    for (int q = 0; q < 4; ++q) {
      out[q] = ((held.qs[i] >> (2 * q) & 0x03030303u) + 0x7f7f7f7fu) ^ 0x80808080u;
    }
  }
  static QK_DEVICE float d(const Held& held) { return half_of(held.d); }
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

}  // namespace qk::cuda
