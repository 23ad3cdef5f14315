// Products of signed bytes on NEON, four words of four: 16 of them take smull, smull2 and two
// sadalp. A word's sum is two lanes until it is stored.
#pragma once

#include <arm_neon.h>

#include "isa/idioms.h"

namespace qk::neon {
namespace {

struct ByteDots {
  static constexpr int32_t kByteBias = 0;
  struct ByteSums {
    int32x4_t low;  // two lanes a word: of the first two words
    int32x4_t high;
  };
  using Multiplier = int8x16_t;

  template <int kPeriod>
  static QK_INLINE Multiplier multiplier(const int8_t* p) {
    static_assert(kPeriod == 4 || kPeriod == 16);
    if constexpr (kPeriod == 4) {
      int32_t word;
      __builtin_memcpy(&word, p, sizeof(word));
      return vreinterpretq_s8_s32(vdupq_n_s32(word));
    }
    return vld1q_s8(p);
  }
  // A product is at most 128 * 128 = 16384, and fits 16 bits.
  static QK_INLINE ByteSums dot_bytes(ByteSums sums, const uint8_t* p, Multiplier x) {
    const int8x16_t w = vreinterpretq_s8_u8(vld1q_u8(p));
    return {vpadalq_s16(sums.low, vmull_s8(vget_low_s8(w), vget_low_s8(x))),
            vpadalq_s16(sums.high, vmull_high_s8(w, x))};
  }
  static QK_INLINE ByteSums add_sums(ByteSums a, ByteSums b) {
    return {vaddq_s32(a.low, b.low), vaddq_s32(a.high, b.high)};
  }
  static QK_INLINE void store_sums(int32_t* p, ByteSums sums) {
    vst1q_s32(p, vpaddq_s32(sums.low, sums.high));
  }
};

}  // namespace
}  // namespace qk::neon
