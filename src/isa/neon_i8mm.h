// NEON with usdot, four products of unsigned and signed bytes a lane.
//
// Under int8, quants of groups of 32 are multiplied as they are stored, and the sum starts at what
// the bias comes to: one instruction fewer than making 32 of them signed. All else is sdot's.
#pragma once

#include "isa/neon_dotprod.h"

namespace qk::neon_i8mm {
namespace {

struct Isa : neon_dotprod::Isa {
  static constexpr const char* kName = "neon_i8mm";
  static constexpr uint64_t kNeeds = neon_dotprod::Isa::kNeeds | cpu::i8mm;

  // The sums of 8 fall on four lanes of one group, in any order. 8 * 255 * 127 = 2.6e5 a lane.
  template <class F>
  static QK_INLINE Ints dot_int8(Quants q, const int8_t (&planes)[1][kUnit],
                                 const int32_t (&sums8)[kUnit / 8], int step) {
    if constexpr (F::kGroup != 32 || F::kBias == 0) {
      return neon_dotprod::Isa::dot_int8<F>(q, planes, sums8, step);
    } else {
      const int8_t* x = planes[0] + kStep * step;
      const Ints minus_bias = vmulq_n_s32(vld1q_s32(sums8 + 4 * step), -F::kBias);
      const Ints first = vusdotq_s32(minus_bias, q.val[0], vld1q_s8(x));
      return vusdotq_s32(first, q.val[1], vld1q_s8(x + 16));
    }
  }
};

}  // namespace
}  // namespace qk::neon_i8mm
