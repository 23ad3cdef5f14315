// NEON with sdot, four products of signed bytes a lane.
//
// int16 activations are two planes: the high plane's sums are shifted and become what the low
// plane's are added to, so 32 weights take two sdot, shl, two sdot.
#pragma once

#include "isa/neon.h"
#include "isa/planes.h"

namespace qk::neon_dotprod {
namespace {

struct Sdot : neon::Panels {
  using Ints = int32x4_t;
  static constexpr bool kCentres = true;

  template <class F>
  static QK_INLINE int8x16_t operand(Words quants) {
    return centre_words<F>(quants);
  }
  static QK_INLINE Ints splat(int32_t value) { return vdupq_n_s32(value); }
  static QK_INLINE Ints dot(Ints sum, int8x16_t quants, Ints four) {
    return vdotq_s32(sum, quants, vreinterpretq_s8_s32(four));
  }
  static QK_INLINE Ints total(Ints high, Ints low) { return vaddq_s32(vshlq_n_s32(high, 8), low); }
  static QK_INLINE Words words(Ints ints) { return vreinterpretq_u32_s32(ints); }
};

struct Isa : neon::Isa, PlaneSums<Sdot> {
  using Sums = PlaneSums<Sdot>;
  static constexpr const char* kName = "neon_dotprod";
  static constexpr uint64_t kNeeds = cpu::asimd | cpu::asimddp;

  // 8 * 128 * 127 * 256 = 3.4e7 a lane before the low plane is added.
  template <class F>
  static QK_INLINE Ints dot_int16(Quants q, const int8_t (&planes)[2][kUnit],
                                  const int32_t (&)[kUnit / 4], int step) {
    const int8x16_t w[2] = {centre<F>(q.val[0]), centre<F>(q.val[1])};
    Ints sums[2] = {};
    add_products<F::kGroup>(w, planes[0] + kStep * step, sums);
    for (Ints& sum : sums) sum = vshlq_n_s32(sum, 8);
    add_products<F::kGroup>(w, planes[1] + kStep * step, sums);
    return join_two<F::kGroup>(sums);
  }
  static QK_INLINE void store_int16(int8_t (&planes)[2][kUnit], int g,
                                    const int32_t (&v)[kActivationGroup]) {
    store_planes(planes, g, v);
  }
  template <class F>
  static QK_INLINE Ints dot_int8(Quants q, const int8_t (&planes)[1][kUnit],
                                 const int32_t (&)[kUnit / 4], int step) {
    const int8x16_t w[2] = {centre<F>(q.val[0]), centre<F>(q.val[1])};
    Ints sums[2] = {};
    add_products<F::kGroup>(w, planes[0] + kStep * step, sums);
    return join_two<F::kGroup>(sums);
  }
  template <int kPlanes>
  using PanelSum = Sums::PanelSum<kPlanes>;
  using Sums::panel_add;
  using Sums::panel_start;
  using Sums::panel_total;

  using ByteSums = int32x4_t;
  static QK_INLINE ByteSums dot_bytes(ByteSums sums, const uint8_t* p, Multiplier x) {
    return vdotq_s32(sums, vreinterpretq_s8_u8(vld1q_u8(p)), x);
  }
  static QK_INLINE ByteSums add_sums(ByteSums a, ByteSums b) { return vaddq_s32(a, b); }
  static QK_INLINE void store_sums(int32_t* p, ByteSums sums) { vst1q_s32(p, sums); }

 protected:
  // A sum a register of 16 weights, or one for both where 32 share a scale.
  template <int kGroup>
  static QK_INLINE void add_products(const int8x16_t (&w)[2], const int8_t* x, Ints (&sums)[2]) {
    for (int i = 0; i < 2; ++i) {
      Ints& sum = sums[kGroup == 32 ? 0 : i];
      sum = vdotq_s32(sum, w[i], vld1q_s8(x + 16 * i));
    }
  }
  // Sums of 4 weights a lane to sums of 8.
  template <int kGroup>
  static QK_INLINE Ints join_two(const Ints (&sums)[2]) {
    return kGroup == 32 ? sums[0] : vpaddq_s32(sums[0], sums[1]);
  }
};

}  // namespace
}  // namespace qk::neon_dotprod
