// The portable ISA: plain loops that any compiler turns into something reasonable. It is the
// reference that the others are tested against, and the kernel of last resort.
#pragma once

#include "isa/planes.h"
#include "isa/scalar_bytes.h"
#include "isa/scalar_f8.h"
#include "isa/scalar_panels.h"

namespace qk::scalar {
namespace {

struct Isa : Eights, Panels, ByteDots {
  static constexpr const char* kName = "scalar";
  static constexpr uint64_t kNeeds = 0;
  static constexpr bool kForTests = false;
  static constexpr bool kIsVector = false;
  static constexpr int kStep = 32;
  static constexpr int kLanes = 4;

  struct Quants {
    uint8_t v[kStep];
  };
  struct Ints {
    int32_t v[kLanes];  // lane j: weights 8j .. 8j + 7 of the step
  };
  struct Floats {
    float v[kLanes];
  };

  static QK_INLINE Quants nibbles_of_16(const uint8_t* p) {
    Quants q;
    for (int i = 0; i < 16; ++i) {
      const int at = 16 * (i / 8) + i % 8;
      q.v[at] = p[i] & 15;
      q.v[at + 8] = p[i] >> 4;
    }
    return q;
  }
  template <int kStride>
  static QK_INLINE Quants nibbles_of_32(const uint8_t* p) {
    Quants q;
    for (int i = 0; i < 16; ++i) {
      q.v[i] = p[i] & 15;
      q.v[i + 16] = p[i] >> 4;
    }
    return q;
  }
  static QK_INLINE Quants nibbles_of_64(const uint8_t* p, int step) {
    const uint8_t* run = p + 32 * (step / 2);
    const int shift = 4 * (step % 2);
    Quants q;
    for (int i = 0; i < 32; ++i) q.v[i] = (run[i] >> shift) & 15;
    return q;
  }
  static QK_INLINE Quants nibbles_of_128(const uint8_t* p, int step) {
    const uint8_t* run = p + 64 * (step / 4) + 32 * (step % 2);
    const int shift = 4 * (step / 2 % 2);
    Quants q;
    for (int i = 0; i < 32; ++i) q.v[i] = (run[i] >> shift) & 15;
    return q;
  }
  static QK_INLINE Quants crumbs_of_128(const uint8_t* p, int step) {
    const uint8_t* run = p + 32 * (step / 4);
    const int shift = 2 * (step % 4);
    Quants q;
    for (int i = 0; i < 32; ++i) q.v[i] = (run[i] >> shift) & 3;
    return q;
  }
  static QK_INLINE Quants bits_of_256(const uint8_t* p, int step) {
    Quants q;
    for (int i = 0; i < 32; ++i) q.v[i] = (p[i] >> step) & 1;
    return q;
  }
  template <int kStride>
  static QK_INLINE Quants bits_of_32(const uint8_t* p) {
    Quants q;
    for (int i = 0; i < 32; ++i) q.v[i] = (p[i / 8] >> (i % 8)) & 1;
    return q;
  }
  template <int kStride>
  static QK_INLINE Quants crumbs_of_32(const uint8_t* p) {
    Quants q;
    for (int i = 0; i < 32; ++i) q.v[i] = (p[i / 4] >> (2 * (i % 4))) & 3;
    return q;
  }
  static QK_INLINE Quants load_quants(const uint8_t* p) {
    Quants q;
    __builtin_memcpy(q.v, p, sizeof(q.v));
    return q;
  }
  template <class Row>
  static QK_INLINE Quants octets(Row row) {
    Quants q;
    for (int i = 0; i < kStep / 8; ++i) {
      const uint64_t word = row(i);
      __builtin_memcpy(q.v + 8 * i, &word, sizeof(word));
    }
    return q;
  }
  template <int kShift>
  static QK_INLINE Quants combine(Quants low, Quants high) {
    for (int i = 0; i < 32; ++i) low.v[i] = static_cast<uint8_t>(low.v[i] | high.v[i] << kShift);
    return low;
  }
  static QK_INLINE Quants look_up(Quants q, const uint8_t (&table)[16]) {
    for (uint8_t& quant : q.v) quant = table[quant];
    return q;
  }
  template <int kStride>
  static QK_INLINE Quants signed_bytes(const int8_t* p) {
    Quants q;
    for (int i = 0; i < 32; ++i) q.v[i] = static_cast<uint8_t>(p[i] + 128);
    return q;
  }
  template <int kBias>
  static QK_INLINE Quants apply_signs(Quants m, uint64_t signs) {
    for (int i = 0; i < 32; ++i) {
      const int minus = -static_cast<int>(signs >> i & 1);
      m.v[i] = static_cast<uint8_t>(kBias + (m.v[i] ^ minus) - minus);
    }
    return m;
  }
  static QK_INLINE Quants digits_of_3(Quants q, Quants powers) {
    for (int i = 0; i < 32; ++i) {
      const auto rest = static_cast<uint8_t>(q.v[i] * powers.v[i]);
      q.v[i] = static_cast<uint8_t>(rest * 3 >> 8);
    }
    return q;
  }
  template <class T>
  static QK_INLINE Floats load_f32(const T* p) {
    Floats r;
    __builtin_memcpy(r.v, p, sizeof(r.v));
    return r;
  }
  template <class T>
  static QK_INLINE Floats load_f16(const T* p) {
    Floats r;
    for (int i = 0; i < kLanes; ++i) r.v[i] = half_to_float(p[i].bits.get());
    return r;
  }
  template <class T>
  static QK_INLINE Floats load_bf16(const T* p) {
    Floats r;
    for (int i = 0; i < kLanes; ++i) r.v[i] = bfloat_to_float(p[i].bits.get());
    return r;
  }

  // 8 * 255 * 32639 = 6.7e7 a lane, and before the planes are joined no more than that.
  template <class F>
  static QK_INLINE Ints dot_int16(Quants q, const int8_t (&planes)[2][kUnit],
                                  const int32_t (&)[kUnit / 4], int step) {
    Ints r;
    for (int j = 0; j < kLanes; ++j) {
      int32_t high = 0;
      int32_t low = 0;
      for (int i = 8 * j; i < 8 * j + 8; ++i) {
        high += (q.v[i] - F::kBias) * planes[0][kStep * step + i];
        low += (q.v[i] - F::kBias) * planes[1][kStep * step + i];
      }
      r.v[j] = 256 * high + low;
    }
    return r;
  }
  template <class F>
  static QK_INLINE Ints dot_int8(Quants q, const int8_t (&planes)[1][kUnit],
                                 const int32_t (&)[kUnit / 4], int step) {
    Ints r;
    for (int j = 0; j < kLanes; ++j) {
      int32_t sum = 0;
      for (int i = 8 * j; i < 8 * j + 8; ++i) {
        sum += (q.v[i] - F::kBias) * planes[0][kStep * step + i];
      }
      r.v[j] = sum;
    }
    return r;
  }
  static QK_INLINE void store_int16(int8_t (&planes)[2][kUnit], int g,
                                    const int32_t (&v)[kActivationGroup]) {
    store_planes(planes, g, v);
  }

  template <int kBias>
  static QK_INLINE Floats quant_floats(const Quants& q, int v) {
    Floats r;
    for (int i = 0; i < kLanes; ++i) r.v[i] = static_cast<float>(q.v[kLanes * v + i] - kBias);
    return r;
  }
  template <int kGroup>
  static QK_INLINE Floats spread(const float* scales, int step) {
    Floats r;
    for (int j = 0; j < kLanes; ++j) r.v[j] = scales[(kStep * step + 8 * j) / kGroup];
    return r;
  }
  template <int kGroup>
  static QK_INLINE Floats spread_floats(const float* scales, int at) {
    return broadcast(scales[at / kGroup]);
  }

  static QK_INLINE Floats broadcast(float x) { return {{x, x, x, x}}; }
  static QK_INLINE Floats zero() { return broadcast(0.0f); }
  static QK_INLINE Floats load(const float* p) { return load_f32(p); }
  static QK_INLINE Floats add(Floats a, Floats b) {
    for (int i = 0; i < kLanes; ++i) a.v[i] += b.v[i];
    return a;
  }
  static QK_INLINE Floats fmul(Floats a, Floats b) {
    for (int i = 0; i < kLanes; ++i) a.v[i] *= b.v[i];
    return a;
  }
  static QK_INLINE Floats fma(Floats a, Floats b, Floats c) {
    for (int i = 0; i < kLanes; ++i) c.v[i] += a.v[i] * b.v[i];
    return c;
  }
  static QK_INLINE Floats load_halves(const uint8_t* p) {
    Floats r;
    for (int i = 0; i < kLanes; ++i) {
      r.v[i] = half_to_float(static_cast<uint16_t>(p[2 * i] | p[2 * i + 1] << 8));
    }
    return r;
  }
  static QK_INLINE Floats floats_of(Words w) {
    Floats r;
    for (int i = 0; i < kLanes; ++i) r.v[i] = static_cast<float>(static_cast<int32_t>(w.v[i]));
    return r;
  }
  static QK_INLINE Floats as_floats(Words w) {
    Floats r;
    __builtin_memcpy(r.v, w.v, sizeof(r.v));
    return r;
  }
  static QK_INLINE Floats halves_of(Words w) {
    Floats r;
    for (int i = 0; i < kLanes; ++i) r.v[i] = half_to_float(static_cast<uint16_t>(w.v[i]));
    return r;
  }
  static QK_INLINE Floats negate(Floats a) {
    for (float& v : a.v) v = -v;
    return a;
  }
  static QK_INLINE Floats fdiv(Floats a, Floats b) {
    for (int i = 0; i < kLanes; ++i) a.v[i] /= b.v[i];
    return a;
  }
  static QK_INLINE Floats fmax(Floats a, Floats b) {
    for (int i = 0; i < kLanes; ++i) b.v[i] = a.v[i] > b.v[i] ? a.v[i] : b.v[i];
    return b;
  }
  static QK_INLINE Words bits_of(Floats a) {
    Words r;
    __builtin_memcpy(r.v, a.v, sizeof(r.v));
    return r;
  }
  static QK_INLINE void store_f16(uint16_t* p, Floats a) {
    for (int i = 0; i < kLanes; ++i) p[i] = float_to_half(a.v[i]);
  }
  static QK_INLINE void store(float* p, Floats a) { __builtin_memcpy(p, a.v, sizeof(a.v)); }
  static QK_INLINE Floats to_floats(Ints t) {
    Floats r;
    for (int i = 0; i < kLanes; ++i) r.v[i] = static_cast<float>(t.v[i]);
    return r;
  }
  static QK_INLINE float sum(Floats a) { return (a.v[0] + a.v[2]) + (a.v[1] + a.v[3]); }
};

}  // namespace
}  // namespace qk::scalar
