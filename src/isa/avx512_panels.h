// Panels on AVX-512 with VNNI: sixteen rows, a 32-bit word each, and four products a row in one
// vpdpbusd with four neighbouring activations broadcast.
#pragma once

#include <immintrin.h>

#include "isa/planes.h"

namespace qk::avx512vnni {
namespace {

struct Vnni512 {
  using Ints = __m512i;
  using Words = __m512i;
  static constexpr bool kCentres = false;

  template <class F>
  static QK_INLINE Words operand(Words quants) {
    return quants;
  }
  static QK_INLINE Ints splat(int32_t value) { return _mm512_set1_epi32(value); }
  static QK_INLINE Ints dot(Ints sum, Words quants, Ints four) {
    return _mm512_dpbusd_epi32(sum, quants, four);
  }
  static QK_INLINE Ints total(Ints high, Ints low) {
    return _mm512_add_epi32(_mm512_slli_epi32(high, 8), low);
  }
  static QK_INLINE Words words(Ints ints) { return ints; }
};

struct Panels : PlaneSums<Vnni512> {
  static constexpr int kPanelBatchRows = 8;
  using Words = __m512i;

  static QK_INLINE Words load_words(const uint8_t* p) { return _mm512_loadu_si512(p); }
  static QK_INLINE Words load_u16s(const uint8_t* p) {
    return _mm512_cvtepu16_epi32(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(p)));
  }
  static QK_INLINE Words load_u8s(const uint8_t* p) {
    return _mm512_cvtepu8_epi32(_mm_loadu_si128(reinterpret_cast<const __m128i*>(p)));
  }
  static QK_INLINE Words load_s8s(const uint8_t* p) {
    return _mm512_cvtepi8_epi32(_mm_loadu_si128(reinterpret_cast<const __m128i*>(p)));
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
};

}  // namespace
}  // namespace qk::avx512vnni
