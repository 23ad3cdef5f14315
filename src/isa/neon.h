// NEON as every ARMv8 CPU has it: 32 quants a step, in two registers.
//
// Quants are made signed, q - kBias, before they are multiplied, so that no bias is left to correct
// and 8 bits suffice. int16 activations are kept as 16-bit words, in order: quants widen to words,
// and 32 weights take four sshll and eight smlal.
//
// Ints are four lanes. Lane j of a dot product stays within the group of weights 8j .. 8j + 7.
#pragma once

#include <arm_neon.h>

#include "isa/idioms.h"
#include "isa/neon_bytes.h"
#include "isa/neon_panels.h"

namespace qk::neon {
namespace {

struct Isa : Panels, ByteDots {
  static constexpr const char* kName = "neon";
  static constexpr uint64_t kNeeds = cpu::asimd;
  static constexpr bool kForTests = false;
  static constexpr bool kIsVector = true;
  static constexpr int kStep = 32;
  static constexpr int kLanes = 4;

  using Quants = uint8x16x2_t;
  using Ints = int32x4_t;
  using Floats = float32x4_t;
  using F8 = float32x4x2_t;

  static QK_INLINE Quants nibbles_of_16(const uint8_t* p) {
    const uint8x16_t packed = vld1q_u8(p);
    const uint8x16_t low = vandq_u8(packed, vdupq_n_u8(15));
    const uint8x16_t high = vshrq_n_u8(packed, 4);
    return {{vcombine_u8(vget_low_u8(low), vget_low_u8(high)),
             vcombine_u8(vget_high_u8(low), vget_high_u8(high))}};
  }
  template <int kStride>
  static QK_INLINE Quants nibbles_of_32(const uint8_t* p) {
    const uint8x16_t packed = vld1q_u8(p);
    return {{vandq_u8(packed, vdupq_n_u8(15)), vshrq_n_u8(packed, 4)}};
  }
  static QK_INLINE Quants nibbles_of_64(const uint8_t* p, int step) {
    return bits_at(p + 32 * (step / 2), 4 * (step % 2), 15);
  }
  static QK_INLINE Quants nibbles_of_128(const uint8_t* p, int step) {
    return bits_at(p + 64 * (step / 4) + 32 * (step % 2), 4 * (step / 2 % 2), 15);
  }
  static QK_INLINE Quants crumbs_of_128(const uint8_t* p, int step) {
    return bits_at(p + 32 * (step / 4), 2 * (step % 4), 3);
  }
  static QK_INLINE Quants bits_of_256(const uint8_t* p, int step) { return bits_at(p, step, 1); }
  template <int kStride>
  static QK_INLINE Quants bits_of_32(const uint8_t* p) {
    const uint8x16_t one = vdupq_n_u8(1);
    return {{vandq_u8(bytes_of_bits(p[0], p[1]), one), vandq_u8(bytes_of_bits(p[2], p[3]), one)}};
  }
  template <int kStride>
  static QK_INLINE Quants crumbs_of_32(const uint8_t* p) {
    const uint8x8_t bytes = vld1_u8(p);
    const uint8x16_t which = vreinterpretq_u8_u32(uint32x4_t{0, 0x1010101, 0x2020202, 0x3030303});
    const int8x16_t shifts = vreinterpretq_s8_u32(vdupq_n_u32(0xfafcfe00));  // 0, -2, -4, -6
    const auto crumbs = [=](uint8x16_t of) {
      const uint8x16_t four = vqtbl1q_u8(vcombine_u8(bytes, bytes), of);
      return vandq_u8(vshlq_u8(four, shifts), vdupq_n_u8(3));
    };
    return {{crumbs(which), crumbs(vaddq_u8(which, vdupq_n_u8(4)))}};
  }
  static QK_INLINE Quants load_quants(const uint8_t* p) {
    return {{vld1q_u8(p), vld1q_u8(p + 16)}};
  }
  template <class Row>
  static QK_INLINE Quants octets(Row row) {
    const auto two = [row](int i) {
      return vcombine_u8(vcreate_u8(row(i)), vcreate_u8(row(i + 1)));
    };
    return {{two(0), two(2)}};
  }
  template <int kShift>
  static QK_INLINE Quants combine(Quants low, Quants high) {
    return {
        {vsliq_n_u8(low.val[0], high.val[0], kShift), vsliq_n_u8(low.val[1], high.val[1], kShift)}};
  }
  static QK_INLINE Quants look_up(Quants q, const uint8_t (&table)[16]) {
    const uint8x16_t values = vld1q_u8(table);
    return {{vqtbl1q_u8(values, q.val[0]), vqtbl1q_u8(values, q.val[1])}};
  }
  template <int kStride>
  static QK_INLINE Quants signed_bytes(const int8_t* p) {
    const Quants q = load_quants(reinterpret_cast<const uint8_t*>(p));
    const uint8x16_t sign = vdupq_n_u8(128);
    return {{veorq_u8(q.val[0], sign), veorq_u8(q.val[1], sign)}};
  }
  template <int kBias>
  static QK_INLINE Quants apply_signs(Quants m, uint64_t signs) {
    const uint8x16_t bias = vdupq_n_u8(kBias);
    Quants q;
    for (int i = 0; i < 2; ++i) {
      const auto bits = static_cast<uint32_t>(signs >> (16 * i));
      const uint8x16_t minus = bytes_of_bits(bits & 255, bits >> 8 & 255);
      q.val[i] = vbslq_u8(minus, vsubq_u8(bias, m.val[i]), vaddq_u8(bias, m.val[i]));
    }
    return q;
  }
  // A high byte of 3 * rest is how many of 256 / 3 and 512 / 3 a rest reaches.
  static QK_INLINE Quants digits_of_3(Quants q, Quants powers) {
    for (int i = 0; i < 2; ++i) {
      const uint8x16_t rest = vmulq_u8(q.val[i], powers.val[i]);
      const uint8x16_t reached =
          vaddq_u8(vcgeq_u8(rest, vdupq_n_u8(86)), vcgeq_u8(rest, vdupq_n_u8(171)));
      q.val[i] = vreinterpretq_u8_s8(vnegq_s8(vreinterpretq_s8_u8(reached)));
    }
    return q;
  }
  template <int kStride>
  static QK_INLINE F8 halves(const U16* first) {
    const auto* p = reinterpret_cast<const uint8_t*>(first);
    const auto bits = [p](int i) { return reinterpret_cast<const U16*>(p + i * kStride)->get(); };
    const uint16x8_t all = {bits(0), bits(1), bits(2), bits(3), bits(4), bits(5), bits(6), bits(7)};
    const float16x8_t values = vreinterpretq_f16_u16(all);
    return {{vcvt_f32_f16(vget_low_f16(values)), vcvt_high_f32_f16(values)}};
  }
  static QK_INLINE F8 bytes8(uint64_t word) {
    const uint16x8_t words = vmovl_u8(vcreate_u8(word));
    return {{vcvtq_f32_u32(vmovl_u16(vget_low_u16(words))), vcvtq_f32_u32(vmovl_high_u16(words))}};
  }
  static QK_INLINE F8 signed_bytes8(uint64_t word) {
    const int16x8_t words = vmovl_s8(vcreate_s8(word));
    return {{vcvtq_f32_s32(vmovl_s16(vget_low_s16(words))), vcvtq_f32_s32(vmovl_high_s16(words))}};
  }
  static QK_INLINE F8 halves8(uint64_t low, uint64_t high) {
    return {{vcvt_f32_f16(vreinterpret_f16_u64(vcreate_u64(low))),
             vcvt_f32_f16(vreinterpret_f16_u64(vcreate_u64(high)))}};
  }
  static QK_INLINE float half(uint16_t bits) {
    return vgetq_lane_f32(vcvt_f32_f16(vreinterpret_f16_u16(vdup_n_u16(bits))), 0);
  }

  template <class T>
  static QK_INLINE Floats load_f32(const T* p) {
    return vreinterpretq_f32_u8(vld1q_u8(reinterpret_cast<const uint8_t*>(p)));
  }
  template <class T>
  static QK_INLINE Floats load_f16(const T* p) {
    return vcvt_f32_f16(vreinterpret_f16_u8(vld1_u8(reinterpret_cast<const uint8_t*>(p))));
  }
  template <class T>
  static QK_INLINE Floats load_bf16(const T* p) {
    const uint8x8_t bits = vld1_u8(reinterpret_cast<const uint8_t*>(p));
    return vreinterpretq_f32_u32(vshlq_n_u32(vmovl_u16(vreinterpret_u16_u8(bits)), 16));
  }

  // At most 8 products a lane: 8 * 128 * 32639 = 3.4e7.
  template <class F>
  static QK_INLINE Ints dot_int16(Quants q, const int8_t (&planes)[2][kUnit],
                                  const int32_t (&)[kUnit / 4], int step) {
    constexpr int kEights = F::kGroup / 8;
    const int8_t* words = &planes[0][0] + 64 * step;
    Ints sums[4] = {};
    for (int i = 0; i < 4; ++i) {
      const int8x16_t bytes = centre<F>(q.val[i / 2]);
      const int16x8_t w = i % 2 == 0 ? vmovl_s8(vget_low_s8(bytes)) : vmovl_high_s8(bytes);
      const int16x8_t x = vreinterpretq_s16_s8(vld1q_s8(words + 16 * i));
      Ints& sum = sums[i / kEights];
      sum = vmlal_high_s16(vmlal_s16(sum, vget_low_s16(w), vget_low_s16(x)), w, x);
    }
    return join<F::kGroup>(sums);
  }
  static QK_INLINE void store_int16(int8_t (&planes)[2][kUnit], int g,
                                    const int32_t (&v)[kActivationGroup]) {
    int16_t words[kActivationGroup];
    for (int i = 0; i < kActivationGroup; ++i) words[i] = static_cast<int16_t>(v[i]);
    __builtin_memcpy(&planes[0][0] + 64 * g, words, sizeof(words));
  }

  // Two products fit 16 bits, 2 * 128 * 127 = 32512, because activations are never -128.
  template <class F>
  static QK_INLINE Ints dot_int8(Quants q, const int8_t (&planes)[1][kUnit],
                                 const int32_t (&)[kUnit / 4], int step) {
    constexpr int kEights = F::kGroup / 8;
    Ints sums[4] = {};
    for (int i = 0; i < 2; ++i) {
      const int8x16_t w = centre<F>(q.val[i]);
      const int8x16_t x = vld1q_s8(planes[0] + kStep * step + 16 * i);
      const int16x8_t first = vmull_s8(vget_low_s8(w), vget_low_s8(x));
      if constexpr (kEights == 1) {
        sums[2 * i] = vpaddlq_s16(first);
        sums[2 * i + 1] = vpaddlq_s16(vmull_high_s8(w, x));
      } else {
        Ints& sum = sums[2 * i / kEights];
        sum = vpadalq_s16(sum, vmlal_high_s8(first, w, x));
      }
    }
    return join<F::kGroup>(sums);
  }

  template <int kBias>
  static QK_INLINE Floats quant_floats(Quants q, int v) {
    const uint8x16_t centred = vsubq_u8(q.val[v / 4], vdupq_n_u8(kBias));
    const int8x16_t bytes = vreinterpretq_s8_u8(centred);
    const int16x8_t words = v / 2 % 2 == 0 ? vmovl_s8(vget_low_s8(bytes)) : vmovl_high_s8(bytes);
    return vcvtq_f32_s32(v % 2 == 0 ? vmovl_s16(vget_low_s16(words)) : vmovl_high_s16(words));
  }
  template <int kGroup>
  static QK_INLINE Floats spread(const float* scales, int step) {
    if constexpr (kGroup == 32) return vdupq_n_f32(scales[step]);
    if constexpr (kGroup == 16) {
      const float32x2_t two = vld1_f32(scales + 2 * step);
      return vcombine_f32(vdup_lane_f32(two, 0), vdup_lane_f32(two, 1));
    }
    return vld1q_f32(scales + 4 * step);
  }
  template <int kGroup>
  static QK_INLINE Floats spread_floats(const float* scales, int at) {
    return vdupq_n_f32(scales[at / kGroup]);
  }

  static QK_INLINE Floats zero() { return vdupq_n_f32(0.0f); }
  static QK_INLINE Floats broadcast(float x) { return vdupq_n_f32(x); }
  static QK_INLINE Floats load(const float* p) { return vld1q_f32(p); }
  static QK_INLINE void store(float* p, Floats a) { vst1q_f32(p, a); }
  template <int kBias>
  static QK_INLINE Words centre_bytes(Words w) {
    return vreinterpretq_u32_u8(vsubq_u8(vreinterpretq_u8_u32(w), vdupq_n_u8(kBias)));
  }
  static QK_INLINE Words digits_of_bytes(Words w, uint8_t power) {
    const uint8x16_t bytes = vreinterpretq_u8_u32(w);
    const uint8x16_t powers = vdupq_n_u8(power);
    return vreinterpretq_u32_u8(digits_of_3({{bytes, bytes}}, {{powers, powers}}).val[0]);
  }
  static QK_INLINE Floats add(Floats a, Floats b) { return vaddq_f32(a, b); }
  static QK_INLINE Floats fmul(Floats a, Floats b) { return vmulq_f32(a, b); }
  static QK_INLINE Floats fma(Floats a, Floats b, Floats c) { return vfmaq_f32(c, a, b); }
  static QK_INLINE Floats fdiv(Floats a, Floats b) { return vdivq_f32(a, b); }
  static QK_INLINE Floats fmax(Floats a, Floats b) { return vbslq_f32(vcgtq_f32(a, b), a, b); }
  static QK_INLINE Words bits_of(Floats a) { return vreinterpretq_u32_f32(a); }
  static QK_INLINE void store_f16(uint16_t* p, Floats a) {
    vst1_u16(p, vreinterpret_u16_f16(vcvt_f16_f32(a)));
  }
  static QK_INLINE Floats to_floats(Ints t) { return vcvtq_f32_s32(t); }
  static QK_INLINE float sum(Floats a) { return vaddvq_f32(a); }

  static QK_INLINE F8 broadcast8(float x) { return {{vdupq_n_f32(x), vdupq_n_f32(x)}}; }
  static QK_INLINE F8 load8(const float* p) { return {{vld1q_f32(p), vld1q_f32(p + 4)}}; }
  template <int kRepeat>
  static QK_INLINE F8 repeat8(const float* p) {
    if constexpr (kRepeat == 1) return load8(p);
    if constexpr (kRepeat == 2) {
      const float32x4_t four = vld1q_f32(p);
      return {{vzip1q_f32(four, four), vzip2q_f32(four, four)}};
    }
    return {{vdupq_n_f32(p[0]), vdupq_n_f32(p[1])}};
  }
  static QK_INLINE void store8(float* p, F8 a) {
    vst1q_f32(p, a.val[0]);
    vst1q_f32(p + 4, a.val[1]);
  }
  static QK_INLINE F8 mul8(F8 a, F8 b) {
    return {{vmulq_f32(a.val[0], b.val[0]), vmulq_f32(a.val[1], b.val[1])}};
  }
  static QK_INLINE F8 fma8(F8 a, F8 b, F8 c) {
    return {{vfmaq_f32(c.val[0], a.val[0], b.val[0]), vfmaq_f32(c.val[1], a.val[1], b.val[1])}};
  }
  static QK_INLINE float sum8(F8 a) { return vaddvq_f32(vaddq_f32(a.val[0], a.val[1])); }

 protected:
  // The bits that `mask` covers, `shift` above the lowest, of 32 bytes.
  static QK_INLINE Quants bits_at(const uint8_t* p, int shift, uint8_t mask) {
    const int8x16_t down = vdupq_n_s8(static_cast<int8_t>(-shift));
    const uint8x16_t masks = vdupq_n_u8(mask);
    return {{vandq_u8(vshlq_u8(vld1q_u8(p), down), masks),
             vandq_u8(vshlq_u8(vld1q_u8(p + 16), down), masks)}};
  }
  // A byte a bit, lowest first: each byte goes to eight lanes, which keep their own bits.
  static QK_INLINE uint8x16_t bytes_of_bits(uint32_t first, uint32_t second) {
    const uint8x16_t masks = vreinterpretq_u8_u64(vdupq_n_u64(0x8040201008040201));
    const uint8x16_t bytes = vcombine_u8(vdup_n_u8(static_cast<uint8_t>(first)),
                                         vdup_n_u8(static_cast<uint8_t>(second)));
    return vtstq_u8(bytes, masks);
  }
  // q - kBias, which wraps to the right signed byte. Subtracting 128 is flipping the highest bit:
  // written so, it cancels against what signed_bytes() did.
  template <class F>
  static QK_INLINE int8x16_t centre(uint8x16_t q) {
    static_assert(F::kMaxQuant - F::kBias <= 127 && F::kBias <= 128);
    const uint8x16_t bias = vdupq_n_u8(F::kBias);
    return vreinterpretq_s8_u8(F::kBias == 128 ? veorq_u8(q, bias) : vsubq_u8(q, bias));
  }
  // One sum for all 32 weights, one for each 16, or one for each 8.
  template <int kGroup>
  static QK_INLINE Ints join(const Ints (&sums)[4]) {
    if constexpr (kGroup == 32) return sums[0];
    if constexpr (kGroup == 16) return vpaddq_s32(sums[0], sums[1]);
    return vpaddq_s32(vpaddq_s32(sums[0], sums[1]), vpaddq_s32(sums[2], sums[3]));
  }
};

}  // namespace
}  // namespace qk::neon
