// NEON with sdot, four products of signed bytes a lane.
//
// int16 activations are two planes: the high plane's sums are shifted and become what the low
// plane's are added to, so 32 weights take two sdot, shl, two sdot.
#pragma once

#include "isa/neon.h"
#include "isa/planes.h"

namespace qk::neon_dotprod {
namespace {

struct Isa : neon::Isa {
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

  // Panels: the sums of each plane; 32 * 128 * 127 * 256 = 1.3e8 where the high one is shifted.
  template <int kPlanes>
  struct PanelSum {
    Ints plane[kPlanes];
  };
  template <class F, int kPlanes>
  static QK_INLINE PanelSum<kPlanes> panel_start(int32_t) {
    return {};
  }
  template <class F, int kPlanes>
  static QK_INLINE void panel_add(PanelSum<kPlanes>& sum, Words q,
                                  const int8_t (&planes)[kPlanes][kUnit], int quad) {
    const int8x16_t w = centre_words<F>(q);
    for (int p = 0; p < kPlanes; ++p) {
      int32_t four;
      __builtin_memcpy(&four, planes[p] + 4 * quad, sizeof(four));
      sum.plane[p] = vdotq_s32(sum.plane[p], w, vreinterpretq_s8_s32(vdupq_n_s32(four)));
    }
  }
  template <class F, int kPlanes>
  static QK_INLINE Words panel_total(PanelSum<kPlanes> sum) {
    if constexpr (kPlanes == 1) return vreinterpretq_u32_s32(sum.plane[0]);
    const Ints high = vshlq_n_s32(sum.plane[0], 8);
    return vreinterpretq_u32_s32(vaddq_s32(high, sum.plane[kPlanes - 1]));
  }

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
