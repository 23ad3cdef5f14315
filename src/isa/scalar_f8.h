// Vectors of eight floats in plain C++: one scale, or one min, a group of a unit.
#pragma once

#include "isa/idioms.h"

namespace qk::scalar {
namespace {

struct Eights {
  struct F8 {
    float v[8];
  };

  template <int kStride>
  static QK_INLINE F8 halves(const U16* first) {
    const auto* p = reinterpret_cast<const uint8_t*>(first);
    F8 r;
    for (int i = 0; i < 8; ++i) {
      r.v[i] = half_to_float(reinterpret_cast<const U16*>(p + i * kStride)->get());
    }
    return r;
  }
  static QK_INLINE F8 bytes8(uint64_t word) {
    F8 r;
    for (int i = 0; i < 8; ++i) r.v[i] = static_cast<float>((word >> (8 * i)) & 255);
    return r;
  }
  static QK_INLINE F8 signed_bytes8(uint64_t word) {
    F8 r;
    for (int i = 0; i < 8; ++i) r.v[i] = static_cast<float>(static_cast<int8_t>(word >> (8 * i)));
    return r;
  }
  static QK_INLINE F8 halves8(uint64_t low, uint64_t high) {
    F8 r;
    for (int i = 0; i < 4; ++i) {
      r.v[i] = half_to_float(static_cast<uint16_t>(low >> (16 * i)));
      r.v[i + 4] = half_to_float(static_cast<uint16_t>(high >> (16 * i)));
    }
    return r;
  }
  static QK_INLINE float half(uint16_t bits) { return half_to_float(bits); }

  static QK_INLINE F8 broadcast8(float x) { return {{x, x, x, x, x, x, x, x}}; }
  static QK_INLINE F8 load8(const float* p) {
    F8 r;
    __builtin_memcpy(r.v, p, sizeof(r.v));
    return r;
  }
  template <int kRepeat>
  static QK_INLINE F8 repeat8(const float* p) {
    F8 r;
    for (int i = 0; i < 8; ++i) r.v[i] = p[i / kRepeat];
    return r;
  }
  static QK_INLINE void store8(float* p, F8 a) { __builtin_memcpy(p, a.v, sizeof(a.v)); }
  static QK_INLINE F8 mul8(F8 a, F8 b) {
    for (int i = 0; i < 8; ++i) a.v[i] *= b.v[i];
    return a;
  }
  static QK_INLINE F8 fma8(F8 a, F8 b, F8 c) {
    for (int i = 0; i < 8; ++i) c.v[i] += a.v[i] * b.v[i];
    return c;
  }
  static QK_INLINE float sum8(F8 a) {
    return ((a.v[0] + a.v[4]) + (a.v[2] + a.v[6])) + ((a.v[1] + a.v[5]) + (a.v[3] + a.v[7]));
  }
};

}  // namespace
}  // namespace qk::scalar
