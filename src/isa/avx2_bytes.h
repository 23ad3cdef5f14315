// Products of signed bytes on AVX2, eight words of four.
//
// vpmaddubsw is not exact: it wants one side unsigned, two products of 255 * 128 saturate, and
// vpsignb leaves -128 as it is. So bytes become 16-bit words as they are loaded, and vpmaddwd sums
// two products each: 2 * 128 * 128 is far from where it could overflow. 32 products take two
// vpmovsxbw, two vpmaddwd and two vpaddd; a word's sum is two lanes until it is stored.
#pragma once

#include <immintrin.h>

#include "isa/idioms.h"

namespace qk::avx2 {
namespace {

struct ByteDots {
  static constexpr int32_t kByteBias = 0;
  // Not __m256i, whose lanes are 64 bits to the compiler: it would copy sums from type to type.
  using Lanes = int32_t __attribute__((vector_size(32)));
  struct ByteSums {
    Lanes low;  // two lanes a word: of the first four words
    Lanes high;
  };
  struct Multiplier {
    __m256i low;  // 16-bit words
    __m256i high;
  };

  template <int kPeriod>
  static QK_INLINE Multiplier multiplier(const int8_t* p) {
    static_assert(kPeriod == 4 || kPeriod == 16 || kPeriod == 32);
    const auto* bytes = reinterpret_cast<const uint8_t*>(p);
    if constexpr (kPeriod == 4) {
      int32_t word;
      __builtin_memcpy(&word, p, sizeof(word));
      const __m256i words = _mm256_cvtepi8_epi16(_mm_set1_epi32(word));
      return {words, words};
    }
    const __m256i low = words_of(bytes);
    return {low, kPeriod == 16 ? low : words_of(bytes + 16)};
  }
  static QK_INLINE ByteSums dot_bytes(ByteSums sums, const uint8_t* p, Multiplier x) {
    sums.low += reinterpret_cast<Lanes>(_mm256_madd_epi16(words_of(p), x.low));
    sums.high += reinterpret_cast<Lanes>(_mm256_madd_epi16(words_of(p + 16), x.high));
    return sums;
  }
  // A lane stays within depth * 128 * 128, an int32: no sum here wraps.
  static QK_INLINE ByteSums add_sums(ByteSums a, ByteSums b) {
    return {a.low + b.low, a.high + b.high};
  }
  static QK_INLINE void store_sums(int32_t* p, ByteSums sums) {
    const __m256i pairs = _mm256_hadd_epi32(reinterpret_cast<__m256i>(sums.low),
                                            reinterpret_cast<__m256i>(sums.high));
    // Within each half: two words of low, two of high.
    _mm256_storeu_si256(reinterpret_cast<__m256i*>(p), _mm256_permute4x64_epi64(pairs, 0b11011000));
  }

 private:
  static QK_INLINE __m256i words_of(const uint8_t* p) {
    return _mm256_cvtepi8_epi16(_mm_loadu_si128(reinterpret_cast<const __m128i*>(p)));
  }
};

}  // namespace
}  // namespace qk::avx2
