// Panels on AVX2: eight rows, a 32-bit word each.
//
// int16 activations are words (isa/avx2.h): four neighbours are one 64-bit broadcast. Quants widen
// by interleaving with zero, which leaves rows 0, 1, 4, 5 in one register and 2, 3, 6, 7 in the
// other, two sums a row; vphaddd brings them together, in order.
#pragma once

#include <immintrin.h>

#include "isa/idioms.h"

namespace qk::avx2 {
namespace {

struct Panels {
  static constexpr int kPanelBatchRows = 4;
  using Words = __m256i;

  static QK_INLINE Words load_words(const uint8_t* p) {
    return _mm256_loadu_si256(reinterpret_cast<const __m256i*>(p));
  }
  static QK_INLINE Words load_u16s(const uint8_t* p) {
    return _mm256_cvtepu16_epi32(_mm_loadu_si128(reinterpret_cast<const __m128i*>(p)));
  }
  static QK_INLINE Words load_u8s(const uint8_t* p) {
    return _mm256_cvtepu8_epi32(_mm_loadl_epi64(reinterpret_cast<const __m128i*>(p)));
  }
  static QK_INLINE Words load_s8s(const uint8_t* p) {
    return _mm256_cvtepi8_epi32(_mm_loadl_epi64(reinterpret_cast<const __m128i*>(p)));
  }
  static QK_INLINE __m256 load_halves(const uint8_t* p) {
    return _mm256_cvtph_ps(_mm_loadu_si128(reinterpret_cast<const __m128i*>(p)));
  }
  static QK_INLINE Words and_bits(Words w, uint32_t bits) {
    return _mm256_and_si256(w, _mm256_set1_epi32(static_cast<int>(bits)));
  }
  static QK_INLINE Words xor_bits(Words w, uint32_t bits) {
    return _mm256_xor_si256(w, _mm256_set1_epi32(static_cast<int>(bits)));
  }
  static QK_INLINE Words add_bits(Words w, uint32_t bits) {
    return _mm256_add_epi32(w, _mm256_set1_epi32(static_cast<int>(bits)));
  }
  static QK_INLINE Words or_words(Words a, Words b) { return _mm256_or_si256(a, b); }
  static QK_INLINE Words sub_words(Words a, Words b) { return _mm256_sub_epi32(a, b); }
  static QK_INLINE Words shift_left(Words w, int count) { return _mm256_slli_epi32(w, count); }
  static QK_INLINE Words shift_right(Words w, int count) { return _mm256_srli_epi32(w, count); }
  static QK_INLINE Words signed_byte(Words w, int byte) {
    return _mm256_srai_epi32(_mm256_slli_epi32(w, 24 - 8 * byte), 24);
  }
  static QK_INLINE Words look_up_bytes(Words w, const uint8_t (&table)[16]) {
    const __m128i values = _mm_loadu_si128(reinterpret_cast<const __m128i*>(table));
    return _mm256_shuffle_epi8(_mm256_broadcastsi128_si256(values), w);
  }
  static QK_INLINE __m256 floats_of(Words w) { return _mm256_cvtepi32_ps(w); }
  static QK_INLINE __m256 as_floats(Words w) { return _mm256_castsi256_ps(w); }
  static QK_INLINE __m256 halves_of(Words w) {
    const __m128i high = _mm256_extracti128_si256(w, 1);
    return _mm256_cvtph_ps(_mm_packus_epi32(_mm256_castsi256_si128(w), high));
  }
  static QK_INLINE __m256 negate(__m256 a) { return _mm256_xor_ps(a, _mm256_set1_ps(-0.0f)); }

  // How many pairs of products under int8 fit a 16-bit lane: a power of two, at most a group's; 0
  // where not even one does.
  template <class F>
  static consteval int pairs_that_fit() {
    constexpr int kPair = 2 * F::kMaxQuant * 127;
    int count = 1;
    while (2 * count <= F::kGroup / 4 && 2 * count * kPair <= 32767) count *= 2;
    return kPair <= 32767 ? count : 0;
  }

  // int16: the two registers above; 32 * 255 * 32639 = 2.7e8. int8: sums of all pairs, and of those
  // that are still in 16-bit lanes.
  template <int kPlanes>
  struct PanelSum {
    __m256i first;
    __m256i second;
    int32_t start;
  };
  template <class F, int kPlanes>
  static QK_INLINE PanelSum<kPlanes> panel_start(int32_t minus_bias) {
    return {_mm256_setzero_si256(), _mm256_setzero_si256(), minus_bias};
  }
  template <class F>
  static QK_INLINE void panel_add(PanelSum<2>& sum, Words q, const int8_t (&planes)[2][kUnit],
                                  int first, int i) {
    const int quad = first + i;
    const int eight = quad / 2 % 4;
    const int stored = eight / 2 + 2 * (eight % 2);  // in the order 0, 2, 1, 3
    int64_t four;
    __builtin_memcpy(&four, &planes[0][0] + 64 * (quad / 8) + 16 * stored + 8 * (quad % 2), 8);
    const __m256i x = _mm256_set1_epi64x(four);
    const __m256i zero = _mm256_setzero_si256();
    sum.first = _mm256_add_epi32(sum.first, _mm256_madd_epi16(_mm256_unpacklo_epi8(q, zero), x));
    sum.second = _mm256_add_epi32(sum.second, _mm256_madd_epi16(_mm256_unpackhi_epi8(q, zero), x));
  }
  template <class F>
  static QK_INLINE void panel_add(PanelSum<1>& sum, Words q, const int8_t (&planes)[1][kUnit],
                                  int first, int i) {
    int32_t four;
    __builtin_memcpy(&four, planes[0] + 4 * (first + i), sizeof(four));
    const __m256i x = _mm256_set1_epi32(four);
    constexpr bool kSigned = pairs_that_fit<F>() == 0;
    constexpr int kFitting = kSigned ? 1 : pairs_that_fit<F>();
    if constexpr (kSigned) {
      // A signed quant gives its sign to the activation: 2 * 128 * 127.
      const __m256i w = _mm256_xor_si256(q, _mm256_set1_epi8(-128));
      sum.second = _mm256_maddubs_epi16(_mm256_abs_epi8(w), _mm256_sign_epi8(x, w));
    } else {
      const __m256i pairs = _mm256_maddubs_epi16(q, x);
      sum.second = i % kFitting == 0 ? pairs : _mm256_add_epi16(sum.second, pairs);
    }
    if (i % kFitting == kFitting - 1) {
      sum.first = _mm256_add_epi32(sum.first, _mm256_madd_epi16(sum.second, _mm256_set1_epi16(1)));
    }
  }
  template <class F, int kPlanes>
  static QK_INLINE Words panel_total(PanelSum<kPlanes> sum) {
    if constexpr (kPlanes == 1 && pairs_that_fit<F>() == 0) return sum.first;  // signed products
    const __m256i total = kPlanes == 1 ? sum.first : _mm256_hadd_epi32(sum.first, sum.second);
    return _mm256_add_epi32(total, _mm256_set1_epi32(sum.start));
  }
};

}  // namespace
}  // namespace qk::avx2
