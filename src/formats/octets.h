// Formats that unpack eight weights at a time: grids, base 3 and other codes with no vector form.
//
// A format derives from Octets<itself> and gives, for decoding,
//   octet(block, e)        the e-th eight quants of the block, one byte each, lowest first
//   group_scale(block, g)  the scale of its g-th group of kGroup weights
// which is enough for the kernels, too. Those of a format with
//   row(block, e)          the e-th eight bytes that its quants are made of, a look-up at most
//   finish<I>(rows, unit, step)  the quants of a step from its rows, in idioms
// take half of the work to vectors. Of a format with one scale (formats/one_scale.h),
// OctetQuants<itself> is what the kernels need, and octet() may be left to quant().
#pragma once

#include "core/unaligned.h"
#include "formats/format.h"

namespace qk {

constexpr uint64_t kOneEach = 0x0101010101010101;  // the byte 1, eight times

// The e-th eight quants of a block.
template <class F>
  requires(
      requires(typename F::Block block) { F::octet(block, 0); } ||
      requires(typename F::Block block) { F::quant(block, 0); })
QK_INLINE uint64_t octet_of(const typename F::Block& block, int e) {
  if constexpr (requires { F::octet(block, e); }) {
    return F::octet(block, e);
  } else {
    uint64_t quants = 0;
    for (int i = 0; i < 8; ++i) {
      quants |= static_cast<uint64_t>(F::quant(block, 8 * e + i)) << (8 * i);
    }
    return quants;
  }
}

template <class F>
struct OctetQuants {
  template <class I, class Block>
  static QK_INLINE typename I::Quants quants(const Block* unit, int step) {
    constexpr int kPerBlock = F::kInfo.block / 8;
    constexpr bool kHasRows = requires { F::row(*unit, 0); };
    const auto rows = I::octets([unit, step](int i) __attribute__((always_inline)) {
      const int e = I::kStep / 8 * step + i;
      const Block& block = unit[e / kPerBlock];
      if constexpr (kHasRows) {
        return F::row(block, e % kPerBlock);
      } else {
        return octet_of<F>(block, e % kPerBlock);
      }
    });
    if constexpr (kHasRows) {
      return F::template finish<I>(rows, unit, step);
    } else {
      return rows;
    }
  }
};

template <class F>
struct Octets : OctetQuants<F> {
  template <class Block>
  static QK_INLINE void decode(const Block& block, float* out) {
    for (int e = 0; e < F::kInfo.block / 8; ++e) {
      const uint64_t quants = F::octet(block, e);
      const float scale = F::group_scale(block, 8 * e / F::kGroup);
      for (int i = 0; i < 8; ++i) {
        const int quant = static_cast<int>(quants >> (8 * i) & 255) - F::kBias;
        out[8 * e + i] = scale * static_cast<float>(quant);
      }
    }
  }

  template <class Block>
  static QK_INLINE ScaleAndMin scale_and_min(const Block& block, int g) {
    return {F::group_scale(block, g), 0.0f};
  }
};

// The low nibble of each of four bytes, and then its high one, in a byte each.
QK_INLINE uint64_t spread_nibbles(uint32_t bytes) {
  uint64_t spread = bytes;
  spread = (spread | spread << 16) & 0x0000ffff0000ffff;
  spread = (spread | spread << 8) & 0x00ff00ff00ff00ff;
  return (spread | spread << 4) & (15 * kOneEach);
}

}  // namespace qk
