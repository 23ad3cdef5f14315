// What AVX2 gains from a 256-bit vpdpbusd, four products a lane, whichever way it is encoded.
//
// int16 activations are two planes here, not AVX2's words: the high plane's sums are shifted and
// become what the low plane's are added to, so 32 weights take vpdpbusd, vpslld, vpdpbusd, where
// words take two vpunpck, two vpmaddwd and a vpaddd. A lane holds 4 consecutive weights.
#pragma once

#include "isa/avx2.h"
#include "isa/planes.h"

namespace qk {
namespace {

// Encoding::dpbusd(sum, q, x) adds the products of unsigned q and signed x, four to a lane.
template <class Encoding>
struct Vnni256Sums {
  using Ints = __m256i;
  using Words = __m256i;
  static constexpr bool kCentres = false;

  template <class F>
  static QK_INLINE Words operand(Words quants) {
    return quants;
  }
  static QK_INLINE Ints splat(int32_t value) { return _mm256_set1_epi32(value); }
  static QK_INLINE Ints dot(Ints sum, Words quants, Ints four) {
    return Encoding::dpbusd(sum, quants, four);
  }
  static QK_INLINE Ints total(Ints high, Ints low) {
    return _mm256_add_epi32(_mm256_slli_epi32(high, 8), low);
  }
  static QK_INLINE Words words(Ints ints) { return ints; }
};

template <class Encoding>
struct Vnni256 : avx2::Isa, PlaneSums<Vnni256Sums<Encoding>> {
  using Sums = PlaneSums<Vnni256Sums<Encoding>>;
  // 4 * 255 * 127 * 256 = 3.3e7 a lane before the low plane is added, and half that for the bias.
  template <class F>
  static QK_INLINE Ints dot_int16(Quants q, const int8_t (&planes)[2][kUnit],
                                  const int32_t (&sums4)[kUnit / 4], int step) {
    const __m256i high = load_bytes(planes[0] + kStep * step);
    const __m256i low = load_bytes(planes[1] + kStep * step);
    const __m256i high_dot =
        _mm256_slli_epi32(Encoding::dpbusd(_mm256_setzero_si256(), q, high), 8);
    return Encoding::dpbusd(subtract_bias<F::kBias>(high_dot, sums4, step), q, low);
  }
  static QK_INLINE void store_int16(int8_t (&planes)[2][kUnit], int g,
                                    const int32_t (&v)[kActivationGroup]) {
    store_planes(planes, g, v);
  }
  template <int kPlanes>
  using PanelSum = typename Sums::template PanelSum<kPlanes>;
  using Sums::panel_add;
  using Sums::panel_start;
  using Sums::panel_total;

  template <class F>
  static QK_INLINE Ints dot_int8(Quants q, const int8_t (&planes)[1][kUnit],
                                 const int32_t (&sums4)[kUnit / 4], int step) {
    const __m256i x = load_bytes(planes[0] + kStep * step);
    const __m256i minus_bias = subtract_bias<F::kBias>(_mm256_setzero_si256(), sums4, step);
    return Encoding::dpbusd(minus_bias, q, x);
  }

  // As on AVX-512 (isa/avx512_bytes.h): weights become unsigned, 128 too high.
  static constexpr int32_t kByteBias = 128;
  using ByteSums = Lanes;
  using Multiplier = __m256i;
  template <int kPeriod>
  static QK_INLINE Multiplier multiplier(const int8_t* p) {
    static_assert(kPeriod == 4 || kPeriod == 16 || kPeriod == 32);
    if constexpr (kPeriod == 4) {
      int32_t word;
      __builtin_memcpy(&word, p, sizeof(word));
      return _mm256_set1_epi32(word);
    }
    if constexpr (kPeriod == 16) {
      return _mm256_broadcastsi128_si256(_mm_loadu_si128(reinterpret_cast<const __m128i*>(p)));
    }
    return load_bytes(p);
  }
  static QK_INLINE ByteSums dot_bytes(ByteSums sums, const uint8_t* p, Multiplier x) {
    const __m256i w = _mm256_xor_si256(load_bytes(p), _mm256_set1_epi8(-128));
    return reinterpret_cast<Lanes>(Encoding::dpbusd(reinterpret_cast<__m256i>(sums), w, x));
  }
  // Not a + b, which must not overflow.
  static QK_INLINE ByteSums add_sums(ByteSums a, ByteSums b) {
    return reinterpret_cast<Lanes>(
        _mm256_add_epi32(reinterpret_cast<__m256i>(a), reinterpret_cast<__m256i>(b)));
  }
  static QK_INLINE void store_sums(int32_t* p, ByteSums sums) {
    __builtin_memcpy(p, &sums, sizeof(sums));
  }

 private:
  template <int kBias>
  static QK_INLINE Ints subtract_bias(Ints dot, const int32_t (&sums4)[kUnit / 4], int step) {
    if constexpr (kBias == 0) return dot;
    const __m256i sums = avx2::Isa::load_bytes(sums4 + 8 * step);
    return _mm256_sub_epi32(dot, _mm256_slli_epi32(sums, __builtin_ctz(kBias | 256)));
  }
};

}  // namespace
}  // namespace qk
