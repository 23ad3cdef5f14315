// Panels on NEON: four rows, a 32-bit word each. Quants lose their bias before they are multiplied.
#pragma once

#include <arm_neon.h>

#include "isa/idioms.h"

namespace qk::neon {
namespace {

struct Panels {
  static constexpr int kPanelBatchRows = 4;
  using Words = uint32x4_t;

  static QK_INLINE Words load_words(const uint8_t* p) { return vreinterpretq_u32_u8(vld1q_u8(p)); }
  static QK_INLINE Words load_u16s(const uint8_t* p) {
    return vmovl_u16(vreinterpret_u16_u8(vld1_u8(p)));
  }
  static QK_INLINE Words load_u8s(const uint8_t* p) {
    return vmovl_u16(vget_low_u16(vmovl_u8(vcreate_u8(load_u32(p)))));
  }
  static QK_INLINE Words load_s8s(const uint8_t* p) {
    const int16x8_t wide = vmovl_s8(vcreate_s8(load_u32(p)));
    return vreinterpretq_u32_s32(vmovl_s16(vget_low_s16(wide)));
  }
  static QK_INLINE float32x4_t load_halves(const uint8_t* p) {
    return vcvt_f32_f16(vreinterpret_f16_u8(vld1_u8(p)));
  }
  static QK_INLINE Words and_bits(Words w, uint32_t bits) {
    return vandq_u32(w, vdupq_n_u32(bits));
  }
  static QK_INLINE Words xor_bits(Words w, uint32_t bits) {
    return veorq_u32(w, vdupq_n_u32(bits));
  }
  static QK_INLINE Words add_bits(Words w, uint32_t bits) {
    return vaddq_u32(w, vdupq_n_u32(bits));
  }
  static QK_INLINE Words or_words(Words a, Words b) { return vorrq_u32(a, b); }
  static QK_INLINE Words sub_words(Words a, Words b) { return vsubq_u32(a, b); }
  static QK_INLINE Words shift_left(Words w, int count) { return vshlq_u32(w, vdupq_n_s32(count)); }
  static QK_INLINE Words shift_right(Words w, int count) {
    return vshlq_u32(w, vdupq_n_s32(-count));
  }
  static QK_INLINE Words signed_byte(Words w, int byte) {
    const Words high = shift_left(w, 24 - 8 * byte);
    return vreinterpretq_u32_s32(vshrq_n_s32(vreinterpretq_s32_u32(high), 24));
  }
  static QK_INLINE Words look_up_bytes(Words w, const uint8_t (&table)[16]) {
    return vreinterpretq_u32_u8(vqtbl1q_u8(vld1q_u8(table), vreinterpretq_u8_u32(w)));
  }
  static QK_INLINE float32x4_t floats_of(Words w) {
    return vcvtq_f32_s32(vreinterpretq_s32_u32(w));
  }
  static QK_INLINE float32x4_t as_floats(Words w) { return vreinterpretq_f32_u32(w); }
  static QK_INLINE float32x4_t halves_of(Words w) {
    return vcvt_f32_f16(vreinterpret_f16_u16(vmovn_u32(w)));
  }
  static QK_INLINE float32x4_t negate(float32x4_t a) { return vnegq_f32(a); }

  // int16: sums of four neighbours' products, a row each; int8: of two each, rows 0, 1 and 2, 3.
  template <int kPlanes>
  struct PanelSum {
    int32x4_t part[2 * kPlanes];
  };
  template <class F, int kPlanes>
  static QK_INLINE PanelSum<kPlanes> panel_start(int32_t) {
    return {};
  }
  template <class F>
  static QK_INLINE void panel_add(PanelSum<2>& sum, Words q, const int8_t (&planes)[2][kUnit],
                                  int first, int i) {
    const int8x16_t w = centre_words<F>(q);
    const int16x4_t x = vreinterpret_s16_s8(vld1_s8(&planes[0][0] + 8 * (first + i)));
    const int16x8_t low = vmovl_s8(vget_low_s8(w));
    const int16x8_t high = vmovl_high_s8(w);
    sum.part[0] = vmlal_s16(sum.part[0], vget_low_s16(low), x);
    sum.part[1] = vmlal_s16(sum.part[1], vget_high_s16(low), x);
    sum.part[2] = vmlal_s16(sum.part[2], vget_low_s16(high), x);
    sum.part[3] = vmlal_s16(sum.part[3], vget_high_s16(high), x);
  }
  template <class F>
  static QK_INLINE void panel_add(PanelSum<1>& sum, Words q, const int8_t (&planes)[1][kUnit],
                                  int first, int i) {
    int32_t four;
    __builtin_memcpy(&four, planes[0] + 4 * (first + i), sizeof(four));
    const int8x16_t w = centre_words<F>(q);
    const int8x8_t x = vreinterpret_s8_s32(vdup_n_s32(four));
    sum.part[0] = vpadalq_s16(sum.part[0], vmull_s8(vget_low_s8(w), x));
    sum.part[1] = vpadalq_s16(sum.part[1], vmull_s8(vget_high_s8(w), x));
  }
  template <class F, int kPlanes>
  static QK_INLINE Words panel_total(PanelSum<kPlanes> sum) {
    int32x4_t total = vpaddq_s32(sum.part[0], sum.part[1]);
    if constexpr (kPlanes == 2) {
      total = vpaddq_s32(total, vpaddq_s32(sum.part[2], sum.part[3]));
    }
    return vreinterpretq_u32_s32(total);
  }

 protected:
  template <class F>
  static QK_INLINE int8x16_t centre_words(Words q) {
    static_assert(F::kMaxQuant - F::kBias <= 127 && F::kBias <= 128);
    const uint8x16_t bias = vdupq_n_u8(F::kBias);
    const uint8x16_t bytes = vreinterpretq_u8_u32(q);
    return vreinterpretq_s8_u8(F::kBias == 128 ? veorq_u8(bytes, bias) : vsubq_u8(bytes, bias));
  }
};

}  // namespace
}  // namespace qk::neon
