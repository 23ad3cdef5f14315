// What AVX2 and AVX-512 share: the eight-float vector F8, one ymm register.
#pragma once

#include <immintrin.h>

#include "isa/idioms.h"

namespace qk {
namespace {

struct AvxCommon {
  static constexpr bool kForTests = false;
  static constexpr bool kIsVector = true;

  using F8 = __m256;

  template <int kStride>
  static QK_INLINE F8 halves(const U16* first) {
    const auto* p = reinterpret_cast<const uint8_t*>(first);
    uint16_t bits[8];
    for (int i = 0; i < 8; ++i) bits[i] = reinterpret_cast<const U16*>(p + i * kStride)->get();
    const auto s = [&bits](int i) { return static_cast<short>(bits[i]); };
    return _mm256_cvtph_ps(_mm_setr_epi16(s(0), s(1), s(2), s(3), s(4), s(5), s(6), s(7)));
  }
  static QK_INLINE F8 bytes8(uint64_t word) {
    const __m128i bytes = _mm_cvtsi64_si128(static_cast<long long>(word));
    return _mm256_cvtepi32_ps(_mm256_cvtepu8_epi32(bytes));
  }
  static QK_INLINE F8 signed_bytes8(uint64_t word) {
    const __m128i bytes = _mm_cvtsi64_si128(static_cast<long long>(word));
    return _mm256_cvtepi32_ps(_mm256_cvtepi8_epi32(bytes));
  }
  static QK_INLINE F8 halves8(uint64_t low, uint64_t high) {
    return _mm256_cvtph_ps(
        _mm_set_epi64x(static_cast<long long>(high), static_cast<long long>(low)));
  }
  static QK_INLINE float half(uint16_t bits) { return _cvtsh_ss(bits); }

  static QK_INLINE F8 broadcast8(float x) { return _mm256_set1_ps(x); }
  static QK_INLINE F8 load8(const float* p) { return _mm256_loadu_ps(p); }
  // Reads eight floats; p and what follows it lie inside one unit.
  template <int kRepeat>
  static QK_INLINE F8 repeat8(const float* p) {
    if constexpr (kRepeat == 1) return load8(p);
    const __m256 four = _mm256_broadcast_ps(reinterpret_cast<const __m128*>(p));
    if constexpr (kRepeat == 2) {
      return _mm256_permutevar8x32_ps(four, _mm256_setr_epi32(0, 0, 1, 1, 2, 2, 3, 3));
    }
    return _mm256_permutevar8x32_ps(four, _mm256_setr_epi32(0, 0, 0, 0, 1, 1, 1, 1));
  }
  static QK_INLINE void store8(float* p, F8 a) { _mm256_storeu_ps(p, a); }
  static QK_INLINE F8 mul8(F8 a, F8 b) { return _mm256_mul_ps(a, b); }
  static QK_INLINE F8 fma8(F8 a, F8 b, F8 c) { return _mm256_fmadd_ps(a, b, c); }
  static QK_INLINE float sum8(F8 a) {
    const __m128 four = _mm_add_ps(_mm256_castps256_ps128(a), _mm256_extractf128_ps(a, 1));
    const __m128 two = _mm_add_ps(four, _mm_movehl_ps(four, four));
    return _mm_cvtss_f32(_mm_add_ss(two, _mm_movehdup_ps(two)));
  }
};

}  // namespace
}  // namespace qk
