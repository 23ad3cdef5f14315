// int16 activations as two planes of int8, for ISAs with a dot product of bytes.
#pragma once

#include "isa/idioms.h"

namespace qk {

// v = 256 * high + low for |v| <= 32639: high in [-127, 127] in plane 0, low in [-128, 127] in
// plane 1, in order.
QK_INLINE void store_planes(int8_t (&planes)[2][kUnit], int g,
                            const int32_t (&v)[kActivationGroup]) {
  for (int i = 0; i < kActivationGroup; ++i) {
    const int32_t high = (v[i] + 128) >> 8;
    planes[0][kActivationGroup * g + i] = static_cast<int8_t>(high);
    planes[1][kActivationGroup * g + i] = static_cast<int8_t>(v[i] - 256 * high);
  }
}

// Panels' sums where bytes have a dot product: one a plane and row, the high plane's shifted at the
// end: 32 * 255 * 127 * 256 = 2.7e8. V is the vector:
//   Ints, Words         int32 lanes, and what panels call words (isa/idioms.h)
//   kCentres            whether operand() takes the bias off, so that sums need not start below 0
//   operand<F>(quants)  the quants as dot() multiplies them
//   splat(value), dot(sum, operand, four), total(high, low) = 256 * high + low, words(ints)
template <class V>
struct PlaneSums {
  template <int kPlanes>
  struct PanelSum {
    typename V::Ints plane[kPlanes];
  };
  template <class F, int kPlanes>
  static QK_INLINE PanelSum<kPlanes> panel_start(int32_t minus_bias) {
    PanelSum<kPlanes> sum;
    sum.plane[0] = V::splat(0);
    sum.plane[kPlanes - 1] = V::splat(V::kCentres ? 0 : minus_bias);
    return sum;
  }
  template <class F, int kPlanes>
  static QK_INLINE void panel_add(PanelSum<kPlanes>& sum, typename V::Words quants,
                                  const int8_t (&planes)[kPlanes][kUnit], int first, int i) {
    const auto operand = V::template operand<F>(quants);
    for (int p = 0; p < kPlanes; ++p) {
      int32_t four;
      __builtin_memcpy(&four, planes[p] + 4 * (first + i), sizeof(four));
      sum.plane[p] = V::dot(sum.plane[p], operand, V::splat(four));
    }
  }
  template <class F, int kPlanes>
  static QK_INLINE typename V::Words panel_total(PanelSum<kPlanes> sum) {
    if constexpr (kPlanes == 1) return V::words(sum.plane[0]);
    return V::words(V::total(sum.plane[0], sum.plane[kPlanes - 1]));
  }
};

}  // namespace qk
