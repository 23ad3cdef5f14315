// The slices of formats for which there are no others: what their own portable functions give of a
// block as it lies in a file, eight weights at a time or all of them. Such a format is not packed
// for the device, unless panels have it in two bits a weight (formats/bundle.h): then so has a
// packed row.
#pragma once

#include <cstdint>

#include "cuda/slices.h"
#include "formats/bundle.h"
#include "formats/octets.h"

namespace qk::cuda {

// 32 weights, four octets, that share one scale or two.
template <class F>
struct SlicesOfOctets : SliceShape<F, 32, 32 / F::kGroup, F::kGroup / 16, 16> {
  static constexpr Field kFields[1] = {{0, F::kInfo.bytes, 0}};
  static constexpr bool kTakesManyRegisters = true;
  static_assert(F::kMaxQuant < 128);
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
      const uint64_t quants = octet_of<F>(*held.block, 4 * c + 2 * i + e);
      // No byte borrows.
      out[2 * e] = ((static_cast<uint32_t>(quants) | kHigh) - kBiases) ^ kHigh;
      out[2 * e + 1] = ((static_cast<uint32_t>(quants >> 32) | kHigh) - kBiases) ^ kHigh;
    }
  }
  static QK_DEVICE float d(const Held&) { return 1.0f; }
  static QK_DEVICE float scale(const Held& held, int c, int g) {
    return F::group_scale(*held.block, 32 / F::kGroup * c + g);
  }
};

// A group of what decode() makes of a block without its scales.
template <class F>
struct SlicesOfDecode : SliceShape<F, F::kGroup, 1, F::kGroup / 16, 16> {
  static_assert(F::kGroup >= 16, "slices of groups of 8 are to be written (cuda/slices.h: octets)");
  static_assert(F::kMaxQuant - F::kBias <= 127, "operands of DP4A are int8");
  static constexpr Field kFields[1] = {{0, F::kInfo.bytes, 0}};
  static constexpr bool kTakesManyRegisters = true;
  struct Held {
    const typename F::Block* block;
  };

  static QK_DEVICE int base(int c) { return F::kGroup * c; }
  template <class At>
  static QK_DEVICE void load(const At& at, int, Held& held) {
    held.block = reinterpret_cast<const typename F::Block*>(at.template address<0>());
  }
  static QK_DEVICE void quads(const Held& held, int c, int i, uint32_t (&out)[4]) {
    typename F::Block unscaled = *held.block;
    F::set_scales_to_one(unscaled);
    float quants[F::kInfo.block];
    F::decode(unscaled, quants);
    for (int w = 0; w < 16; ++w) {
      const auto quant = static_cast<int>(quants[base(c) + 16 * i + w]);
      if (w % 4 == 0) out[w / 4] = 0;
      out[w / 4] |= static_cast<uint32_t>(quant & 255) << (8 * (w % 4));
    }
  }
  static QK_DEVICE float d(const Held&) { return 1.0f; }
  static QK_DEVICE float scale(const Held& held, int c, int) {
    return F::scale_and_min(*held.block, c).scale;
  }
  static QK_DEVICE float dmin(const Held&) { return 1.0f; }
  static QK_DEVICE float min(const Held& held, int c, int) {
    return F::scale_and_min(*held.block, c).min;
  }
};

template <class F>
struct DefaultSlices : SlicesOfDecode<F> {};
template <class F>
  requires(!F::kHasMin && F::kMaxQuant < 128 &&
           requires(typename F::Block block) {
             octet_of<F>(block, 0);
             F::group_scale(block, 0);
           })
struct DefaultSlices<F> : SlicesOfOctets<F> {};

template <class F, Layout L>
struct Slices : DefaultSlices<F> {};

// Word w of the quants has weights 16 w .. 16 w + 3 in the lowest two bits of its bytes, and so on.
template <class F>
  requires requires { F::kPanelsOfCrumbs; }
struct Slices<F, Layout::kPlanes> : SliceShape<F, 64, 2, 2, 16> {
  static constexpr bool kRecoded = true;
  static constexpr Field kFields[2] = {{0, 2, 1}, {2, F::kInfo.block / 4, 0}};
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

}  // namespace qk::cuda
