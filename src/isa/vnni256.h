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
struct Vnni256 : avx2::Isa {
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
  // Panels: the sums of each plane, as on AVX-512.
  template <int kPlanes>
  struct PanelSum {
    __m256i plane[kPlanes];
  };
  template <class F, int kPlanes>
  static QK_INLINE PanelSum<kPlanes> panel_start(int32_t minus_bias) {
    PanelSum<kPlanes> sum;
    sum.plane[0] = _mm256_setzero_si256();
    sum.plane[kPlanes - 1] = _mm256_set1_epi32(minus_bias);
    return sum;
  }
  template <class F, int kPlanes>
  static QK_INLINE void panel_add(PanelSum<kPlanes>& sum, Words q,
                                  const int8_t (&planes)[kPlanes][kUnit], int quad) {
    for (int p = 0; p < kPlanes; ++p) {
      int32_t four;
      __builtin_memcpy(&four, planes[p] + 4 * quad, sizeof(four));
      sum.plane[p] = Encoding::dpbusd(sum.plane[p], q, _mm256_set1_epi32(four));
    }
  }
  template <class F, int kPlanes>
  static QK_INLINE Words panel_total(PanelSum<kPlanes> sum) {
    if constexpr (kPlanes == 1) return sum.plane[0];
    return _mm256_add_epi32(_mm256_slli_epi32(sum.plane[0], 8), sum.plane[kPlanes - 1]);
  }

  template <class F>
  static QK_INLINE Ints dot_int8(Quants q, const int8_t (&planes)[1][kUnit],
                                 const int32_t (&sums4)[kUnit / 4], int step) {
    const __m256i x = load_bytes(planes[0] + kStep * step);
    const __m256i minus_bias = subtract_bias<F::kBias>(_mm256_setzero_si256(), sums4, step);
    return Encoding::dpbusd(minus_bias, q, x);
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
