// Products of signed bytes on NEON, four words of four.
#pragma once

#include <arm_neon.h>

#include "isa/idioms.h"

namespace qk::neon {
namespace {

struct ByteDots {
  static constexpr int32_t kByteBias = 0;
  using ByteSums = int32x4_t;
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
  // A product is at most 128 * 128 = 16384, and fits 16 bits; two of them do not.
  static QK_INLINE ByteSums dot_bytes(ByteSums sums, uint32x4_t w, Multiplier x) {
    const int8x16_t bytes = vreinterpretq_s8_u32(w);
    const int32x4_t low = vpaddlq_s16(vmull_s8(vget_low_s8(bytes), vget_low_s8(x)));
    const int32x4_t high = vpaddlq_s16(vmull_high_s8(bytes, x));
    return vaddq_s32(sums, vpaddq_s32(low, high));
  }
  static QK_INLINE ByteSums add_sums(ByteSums a, ByteSums b) { return vaddq_s32(a, b); }
  static QK_INLINE void store_sums(int32_t* p, ByteSums sums) { vst1q_s32(p, sums); }
};

}  // namespace
}  // namespace qk::neon
