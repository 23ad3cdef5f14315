// Slices of the grids. As they lie in a file they have the default ones; packed, they are what CPU
// panels recode them to: codes of four bits and a byte a scale (formats/grid_panel.h).
#pragma once

#include <cstdint>

#include "cuda/lookup.h"
#include "cuda/slices_default.h"
#include "formats/grid_panel.h"

namespace qk::cuda {

// RecodedGrid: d, scales, codes. Word w of the codes has weights 8 w .. 8 w + 3 in the low nibbles
// of its bytes and the next four in the high ones.
template <class F>
  requires requires { F::kCodeShift; }
struct Slices<F, Layout::kPlanes> : SliceShape<F, 32, 32 / F::kGroup, F::kGroup / 16, 16> {
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

}  // namespace qk::cuda
