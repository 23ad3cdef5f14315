// Products of signed bytes in plain C++: four words of four.
#pragma once

#include "isa/scalar_panels.h"

namespace qk::scalar {
namespace {

struct ByteDots {
  static constexpr int32_t kByteBias = 0;
  struct ByteSums {
    int32_t v[Panels::kPanelRows];
  };
  struct Multiplier {
    int8_t v[4 * Panels::kPanelRows];
  };

  template <int kPeriod>
  static QK_INLINE Multiplier multiplier(const int8_t* p) {
    Multiplier x;
    for (int i = 0; i < 4 * Panels::kPanelRows; ++i) x.v[i] = p[i % kPeriod];
    return x;
  }
  static QK_INLINE ByteSums dot_bytes(ByteSums sums, const uint8_t* p, Multiplier x) {
    for (int i = 0; i < 4 * Panels::kPanelRows; ++i) {
      sums.v[i / 4] += static_cast<int8_t>(p[i]) * x.v[i];
    }
    return sums;
  }
  static QK_INLINE ByteSums add_sums(ByteSums a, ByteSums b) {
    for (int i = 0; i < Panels::kPanelRows; ++i) a.v[i] += b.v[i];
    return a;
  }
  static QK_INLINE void store_sums(int32_t* p, ByteSums sums) {
    __builtin_memcpy(p, sums.v, sizeof(sums.v));
  }
};

}  // namespace
}  // namespace qk::scalar
