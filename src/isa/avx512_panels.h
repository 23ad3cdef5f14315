// Panels on AVX-512 with VNNI: sixteen rows, a 32-bit word each, and four products a row in one
// vpdpbusd with four neighbouring activations broadcast.
#pragma once

#include <immintrin.h>

#include "isa/idioms.h"

namespace qk::avx512vnni {
namespace {

struct Panels {
  using Words = __m512i;

  static QK_INLINE Words load_words(const uint8_t* p) { return _mm512_loadu_si512(p); }
  static QK_INLINE Words load_u16s(const uint8_t* p) {
    return _mm512_cvtepu16_epi32(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(p)));
  }
  static QK_INLINE Words load_u8s(const uint8_t* p) {
    return _mm512_cvtepu8_epi32(_mm_loadu_si128(reinterpret_cast<const __m128i*>(p)));
  }
  static QK_INLINE __m512 load_halves(const uint8_t* p) {
    return _mm512_cvtph_ps(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(p)));
  }
  static QK_INLINE Words and_bits(Words w, uint32_t bits) {
    return _mm512_and_si512(w, _mm512_set1_epi32(static_cast<int>(bits)));
  }
  static QK_INLINE Words xor_bits(Words w, uint32_t bits) {
    return _mm512_xor_si512(w, _mm512_set1_epi32(static_cast<int>(bits)));
  }
  static QK_INLINE Words add_bits(Words w, uint32_t bits) {
    return _mm512_add_epi32(w, _mm512_set1_epi32(static_cast<int>(bits)));
  }
  static QK_INLINE Words or_words(Words a, Words b) { return _mm512_or_si512(a, b); }
  static QK_INLINE Words sub_words(Words a, Words b) { return _mm512_sub_epi32(a, b); }
  static QK_INLINE Words shift_left(Words w, int count) {
    return _mm512_slli_epi32(w, static_cast<unsigned>(count));
  }
  static QK_INLINE Words shift_right(Words w, int count) {
    return _mm512_srli_epi32(w, static_cast<unsigned>(count));
  }
  static QK_INLINE Words signed_byte(Words w, int byte) {
    return _mm512_srai_epi32(_mm512_slli_epi32(w, static_cast<unsigned>(24 - 8 * byte)), 24);
  }
  static QK_INLINE Words look_up_bytes(Words w, const uint8_t (&table)[16]) {
    const __m128i values = _mm_loadu_si128(reinterpret_cast<const __m128i*>(table));
    return _mm512_shuffle_epi8(_mm512_broadcast_i32x4(values), w);
  }
  static QK_INLINE __m512 floats_of(Words w) { return _mm512_cvtepi32_ps(w); }
  static QK_INLINE __m512 as_floats(Words w) { return _mm512_castsi512_ps(w); }
  static QK_INLINE __m512 halves_of(Words w) { return _mm512_cvtph_ps(_mm512_cvtepi32_epi16(w)); }
  static QK_INLINE __m512 negate(__m512 a) { return _mm512_xor_ps(a, _mm512_set1_ps(-0.0f)); }

  // The sums of each plane: 32 * 255 * 127 * 256 = 2.7e8 where the high one is shifted.
  template <int kPlanes>
  struct PanelSum {
    __m512i plane[kPlanes];
  };
  template <class F, int kPlanes>
  static QK_INLINE PanelSum<kPlanes> panel_start(int32_t minus_bias) {
    PanelSum<kPlanes> sum;
    sum.plane[0] = _mm512_setzero_si512();
    sum.plane[kPlanes - 1] = _mm512_set1_epi32(minus_bias);
    return sum;
  }
  template <class F, int kPlanes>
  static QK_INLINE void panel_add(PanelSum<kPlanes>& sum, Words q,
                                  const int8_t (&planes)[kPlanes][kUnit], int quad) {
    for (int p = 0; p < kPlanes; ++p) {
      int32_t four;
      __builtin_memcpy(&four, planes[p] + 4 * quad, sizeof(four));
      sum.plane[p] = _mm512_dpbusd_epi32(sum.plane[p], q, _mm512_set1_epi32(four));
    }
  }
  template <class F, int kPlanes>
  static QK_INLINE Words panel_total(PanelSum<kPlanes> sum) {
    if constexpr (kPlanes == 1) return sum.plane[0];
    return _mm512_add_epi32(_mm512_slli_epi32(sum.plane[0], 8), sum.plane[kPlanes - 1]);
  }
};

}  // namespace
}  // namespace qk::avx512vnni
