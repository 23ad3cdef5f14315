// Formats that unpack eight weights at a time: grids, base 3 and other codes with no vector form.
//
// A format derives from Octets<itself> and gives
//   octet(block, e)        the e-th eight quants of the block, one byte each, lowest first
//   group_scale(block, g)  the scale of its g-th group of kGroup weights
// and decoding, quants and scales follow. Quants go through a small buffer, which every ISA loads.
#pragma once

#include "core/half.h"
#include "core/unaligned.h"
#include "formats/format.h"

namespace qk {

template <class F>
struct Octets {
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

  template <class I, class Block>
  static QK_INLINE typename I::Quants quants(const Block* unit, int step) {
    constexpr int kPerBlock = F::kInfo.block / 8;
    alignas(64) uint8_t bytes[I::kStep];
    for (int i = 0; i < I::kStep / 8; ++i) {
      const int e = I::kStep / 8 * step + i;
      const uint64_t quants = F::octet(unit[e / kPerBlock], e % kPerBlock);
      __builtin_memcpy(bytes + 8 * i, &quants, sizeof(quants));
    }
    return I::load_quants(bytes);
  }

  template <class I, class Block, int kGroup, int kMinGroup>
  static QK_INLINE void scales(const Block* unit, PerGroup<I, kGroup>& scale,
                               PerGroup<I, kMinGroup>&) {
    constexpr int kPerBlock = F::kInfo.block / kGroup;
    float values[kUnit / kGroup];
    for (int g = 0; g < kUnit / kGroup; ++g) {
      values[g] = F::group_scale(unit[g / kPerBlock], g % kPerBlock);
    }
    for (int i = 0; i < scale.kVectors; ++i) scale.v[i] = I::load8(values + 8 * i);
  }
};

}  // namespace qk
