// Products of signed bytes on AVX2, eight words of four.
//
// vpmaddubsw is not exact: it wants one side unsigned, two products of 255 * 128 saturate, and
// vpsignb leaves -128 as it is. So the even bytes and the odd ones become 16-bit words by shifting,
// and vpmaddwd sums two products each: 2 * 128 * 128 is far from where it could overflow. 32
// products take three shifts, two vpmaddwd and two vpaddd.
#pragma once

#include <immintrin.h>

#include "isa/idioms.h"

namespace qk::avx2 {
namespace {

struct ByteDots {
  static constexpr int32_t kByteBias = 0;
  using ByteSums = __m256i;
  struct Multiplier {
    __m256i even;
    __m256i odd;
  };

  template <int kPeriod>
  static QK_INLINE Multiplier multiplier(const int8_t* p) {
    const __m256i x = repeat<kPeriod>(p);
    return {even_words(x), odd_words(x)};
  }
  static QK_INLINE ByteSums dot_bytes(ByteSums sums, __m256i w, Multiplier x) {
    sums = _mm256_add_epi32(sums, _mm256_madd_epi16(even_words(w), x.even));
    return _mm256_add_epi32(sums, _mm256_madd_epi16(odd_words(w), x.odd));
  }
  static QK_INLINE ByteSums add_sums(ByteSums a, ByteSums b) { return _mm256_add_epi32(a, b); }
  static QK_INLINE void store_sums(int32_t* p, ByteSums sums) {
    _mm256_storeu_si256(reinterpret_cast<__m256i*>(p), sums);
  }

 protected:
  // kPeriod bytes over and over.
  template <int kPeriod>
  static QK_INLINE __m256i repeat(const int8_t* p) {
    static_assert(kPeriod == 4 || kPeriod == 16 || kPeriod == 32);
    if constexpr (kPeriod == 4) {
      int32_t word;
      __builtin_memcpy(&word, p, sizeof(word));
      return _mm256_set1_epi32(word);
    }
    if constexpr (kPeriod == 16) {
      return _mm256_broadcastsi128_si256(_mm_loadu_si128(reinterpret_cast<const __m128i*>(p)));
    }
    return _mm256_loadu_si256(reinterpret_cast<const __m256i*>(p));
  }

 private:
  static QK_INLINE __m256i even_words(__m256i bytes) {
    return _mm256_srai_epi16(_mm256_slli_epi16(bytes, 8), 8);
  }
  static QK_INLINE __m256i odd_words(__m256i bytes) { return _mm256_srai_epi16(bytes, 8); }
};

}  // namespace
}  // namespace qk::avx2
