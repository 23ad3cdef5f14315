// Products of signed bytes on AVX-512 with VNNI, sixteen words of four.
//
// vpdpbusd takes unsigned weights. Flipping their highest bit adds 128 to each, exactly, -128 too;
// whoever sums takes 128 times the sum of the multipliers off again. Sums wrap, never saturate, so
// that the difference is right whatever was in between.
#pragma once

#include <immintrin.h>

#include "isa/idioms.h"

namespace qk::avx512vnni {
namespace {

struct ByteDots {
  static constexpr int32_t kByteBias = 128;
  // Not __m512i, whose lanes are 64 bits to the compiler: it would copy sums from type to type.
  using ByteSums = int32_t __attribute__((vector_size(64)));
  using Multiplier = __m512i;

  template <int kPeriod>
  static QK_INLINE Multiplier multiplier(const int8_t* p) {
    static_assert(kPeriod == 4 || kPeriod == 16 || kPeriod == 64);
    if constexpr (kPeriod == 4) {
      int32_t word;
      __builtin_memcpy(&word, p, sizeof(word));
      return _mm512_set1_epi32(word);
    }
    if constexpr (kPeriod == 16) {
      return _mm512_broadcast_i32x4(_mm_loadu_si128(reinterpret_cast<const __m128i*>(p)));
    }
    return _mm512_loadu_si512(p);
  }
  static QK_INLINE ByteSums dot_bytes(ByteSums sums, const uint8_t* p, Multiplier x) {
    const __m512i w = _mm512_xor_si512(_mm512_loadu_si512(p), _mm512_set1_epi8(-128));
    return reinterpret_cast<ByteSums>(_mm512_dpbusd_epi32(reinterpret_cast<__m512i>(sums), w, x));
  }
  // Not a + b, which must not overflow.
  static QK_INLINE ByteSums add_sums(ByteSums a, ByteSums b) {
    return reinterpret_cast<ByteSums>(
        _mm512_add_epi32(reinterpret_cast<__m512i>(a), reinterpret_cast<__m512i>(b)));
  }
  static QK_INLINE void store_sums(int32_t* p, ByteSums sums) {
    __builtin_memcpy(p, &sums, sizeof(sums));
  }
};

}  // namespace
}  // namespace qk::avx512vnni
