// AVX-512 with VNNI: 64 quants a step, four products a lane in one vpdpbusd.
//
// A dot product's 16 lanes hold 4 consecutive weights each; lanes 0-7 are the step's first group
// of 32, lanes 8-15 its second. int16 activations are two planes: the high plane's sums are shifted
// and become what the low plane's are added to.
#pragma once

#include "isa/avx512_bytes.h"
#include "isa/avx512_panels.h"
#include "isa/avx_common.h"
#include "isa/planes.h"

namespace qk::avx512vnni {
namespace {

struct Isa : AvxCommon, Panels, ByteDots {
  static constexpr const char* kName = "avx512vnni";
  static constexpr uint64_t kNeeds = cpu::avx2 | cpu::fma | cpu::f16c | cpu::avx512f |
                                     cpu::avx512bw | cpu::avx512vl | cpu::avx512dq |
                                     cpu::avx512vnni;
  static constexpr int kStep = 64;
  static constexpr int kLanes = 16;

  using Quants = __m512i;
  using Ints = __m512i;
  using Floats = __m512;

  static QK_INLINE Quants nibbles_of_16(const uint8_t* p) {
    const __m512i twice = _mm512_permutexvar_epi64(_mm512_setr_epi64(0, 0, 1, 1, 2, 2, 3, 3),
                                                   _mm512_castsi256_si512(load32(p)));
    const __m512i counts = _mm512_setr_epi64(0, 4, 0, 4, 0, 4, 0, 4);
    return _mm512_and_si512(_mm512_srlv_epi64(twice, counts), _mm512_set1_epi8(15));
  }
  template <int kStride>
  static QK_INLINE Quants nibbles_of_32(const uint8_t* p) {
    const __m256i first = _mm256_broadcastsi128_si256(load16(p));
    const __m256i second = _mm256_broadcastsi128_si256(load16(p + kStride));
    const __m512i both = _mm512_inserti64x4(_mm512_castsi256_si512(first), second, 1);
    const __m512i shifts = _mm512_setr_epi64(0, 0, 4, 4, 0, 0, 4, 4);
    return _mm512_and_si512(_mm512_srlv_epi64(both, shifts), _mm512_set1_epi8(15));
  }
  static QK_INLINE Quants nibbles_of_64(const uint8_t* p, int step) {
    const __m512i run = _mm512_broadcast_i64x4(load32(p + 32 * step));
    return _mm512_and_si512(_mm512_srlv_epi64(run, shifts(0, 4)), _mm512_set1_epi8(15));
  }
  static QK_INLINE Quants nibbles_of_128(const uint8_t* p, int step) {
    const __m512i run = _mm512_loadu_si512(p + 64 * (step / 2));
    const __m512i nibbles = step % 2 == 0 ? run : _mm512_srli_epi16(run, 4);
    return _mm512_and_si512(nibbles, _mm512_set1_epi8(15));
  }
  static QK_INLINE Quants crumbs_of_128(const uint8_t* p, int step) {
    const __m512i run = _mm512_broadcast_i64x4(load32(p + 32 * (step / 2)));
    const __m512i crumbs = _mm512_srlv_epi64(run, shifts(4 * (step % 2), 4 * (step % 2) + 2));
    return _mm512_and_si512(crumbs, _mm512_set1_epi8(3));
  }
  static QK_INLINE Quants bits_of_256(const uint8_t* p, int step) {
    const __m512i bits =
        _mm512_srlv_epi64(_mm512_broadcast_i64x4(load32(p)), shifts(2 * step, 2 * step + 1));
    return _mm512_and_si512(bits, _mm512_set1_epi8(1));
  }
  template <int kStride>
  static QK_INLINE Quants bits_of_32(const uint8_t* p) {
    uint32_t first;
    uint32_t second;
    __builtin_memcpy(&first, p, sizeof(first));
    __builtin_memcpy(&second, p + kStride, sizeof(second));
    const __mmask64 set = first | static_cast<uint64_t>(second) << 32;
    return _mm512_maskz_set1_epi8(set, 1);
  }
  // As avx2 does.
  template <int kStride>
  static QK_INLINE Quants crumbs_of_32(const uint8_t* p) {
    int64_t first;
    int64_t second;
    __builtin_memcpy(&first, p, sizeof(first));
    __builtin_memcpy(&second, p + kStride, sizeof(second));
    const __m512i bytes = _mm512_broadcast_i32x4(_mm_set_epi64x(second, first));
    const __m512i which =
        _mm512_setr_epi32(0, 0x01010101, 0x02020202, 0x03030303, 0x04040404, 0x05050505, 0x06060606,
                          0x07070707, 0x08080808, 0x09090909, 0x0a0a0a0a, 0x0b0b0b0b, 0x0c0c0c0c,
                          0x0d0d0d0d, 0x0e0e0e0e, 0x0f0f0f0f);
    const __m512i four = _mm512_shuffle_epi8(bytes, which);
    const __m512i nibbles = _mm512_mask_srli_epi16(four, 0xaaaaaaaa, four, 4);
    const __m128i values = _mm_setr_epi8(0, 1, 2, 3, 1, 0, 0, 0, 2, 0, 0, 0, 3, 0, 0, 0);
    return _mm512_shuffle_epi8(_mm512_broadcast_i32x4(values),
                               _mm512_and_si512(nibbles, _mm512_set1_epi16(0x0c03)));
  }
  static QK_INLINE Quants load_quants(const uint8_t* p) { return _mm512_loadu_si512(p); }
  template <class Row>
  static QK_INLINE Quants octets(Row row) {
    const auto word = [row](int i) { return static_cast<long long>(row(i)); };
    return _mm512_setr_epi64(word(0), word(1), word(2), word(3), word(4), word(5), word(6),
                             word(7));
  }
  template <int kShift>
  static QK_INLINE Quants combine(Quants low, Quants high) {
    return _mm512_or_si512(low, _mm512_slli_epi16(high, kShift));
  }
  static QK_INLINE Quants look_up(Quants q, const uint8_t (&table)[16]) {
    return _mm512_shuffle_epi8(_mm512_broadcast_i32x4(load16(table)), q);
  }
  template <int kStride>
  static QK_INLINE Quants signed_bytes(const int8_t* p) {
    const __m512i both =
        _mm512_inserti64x4(_mm512_castsi256_si512(load32(p)), load32(p + kStride), 1);
    return _mm512_xor_si512(both, _mm512_set1_epi8(-128));
  }

  template <int kBias>
  static QK_INLINE Quants apply_signs(Quants m, uint64_t signs) {
    const __m512i bias = _mm512_set1_epi8(kBias);
    return _mm512_mask_sub_epi8(_mm512_add_epi8(bias, m), signs, bias, m);
  }
  // Bytes multiply as words: the even ones below what is masked off, the odd ones above it. A high
  // byte of 3 * rest is how many of 256 / 3 and 512 / 3 a rest reaches.
  static QK_INLINE Quants digits_of_3(Quants q, Quants powers) {
    const __m512i low = _mm512_set1_epi16(255);
    const __m512i even = _mm512_and_si512(_mm512_mullo_epi16(q, powers), low);
    const __m512i odd =
        _mm512_mullo_epi16(_mm512_andnot_si512(low, q), _mm512_srli_epi16(powers, 8));
    const __m512i rest = _mm512_or_si512(even, odd);
    const __mmask64 two = _mm512_cmpge_epu8_mask(rest, _mm512_set1_epi8(static_cast<char>(171)));
    const __m512i ones =
        _mm512_maskz_set1_epi8(_mm512_cmpge_epu8_mask(rest, _mm512_set1_epi8(86)), 1);
    return _mm512_mask_set1_epi8(ones, two, 2);
  }

  template <class T>
  static QK_INLINE Floats load_f32(const T* p) {
    return _mm512_loadu_ps(p);
  }
  template <class T>
  static QK_INLINE Floats load_f16(const T* p) {
    return _mm512_cvtph_ps(load32(p));
  }
  template <class T>
  static QK_INLINE Floats load_bf16(const T* p) {
    return _mm512_castsi512_ps(_mm512_slli_epi32(_mm512_cvtepu16_epi32(load32(p)), 16));
  }

  template <class F>
  static QK_INLINE Ints dot_int16(Quants q, const int8_t (&planes)[2][kUnit],
                                  const int32_t (&sums4)[kUnit / 4], int step) {
    const __m512i high = _mm512_loadu_si512(planes[0] + kStep * step);
    const __m512i low = _mm512_loadu_si512(planes[1] + kStep * step);
    const __m512i high_dot =
        _mm512_slli_epi32(_mm512_dpbusd_epi32(_mm512_setzero_si512(), q, high), 8);
    return _mm512_dpbusd_epi32(subtract_bias<F::kBias>(high_dot, sums4, step), q, low);
  }
  static QK_INLINE void store_int16(int8_t (&planes)[2][kUnit], int g,
                                    const int32_t (&v)[kActivationGroup]) {
    store_planes(planes, g, v);
  }
  template <class F>
  static QK_INLINE Ints dot_int8(Quants q, const int8_t (&planes)[1][kUnit],
                                 const int32_t (&sums4)[kUnit / 4], int step) {
    const __m512i x = _mm512_loadu_si512(planes[0] + kStep * step);
    const __m512i minus_bias = subtract_bias<F::kBias>(_mm512_setzero_si512(), sums4, step);
    return _mm512_dpbusd_epi32(minus_bias, q, x);
  }

  template <int kBias>
  static QK_INLINE Floats quant_floats(Quants q, int v) {
    const __m512i centred = _mm512_sub_epi8(q, _mm512_set1_epi8(static_cast<char>(kBias)));
    return _mm512_cvtepi32_ps(_mm512_cvtepi8_epi32(quarter(centred, v)));
  }
  template <int kGroup>
  static QK_INLINE Floats spread(const float* scales, int step) {
    if constexpr (kGroup == 32) {
      const int a = 2 * step;
      const int b = a + 1;
      const __m512i lanes = _mm512_setr_epi32(a, a, a, a, a, a, a, a, b, b, b, b, b, b, b, b);
      return _mm512_permutexvar_ps(lanes, _mm512_castps256_ps512(_mm256_load_ps(scales)));
    }
    if constexpr (kGroup == 16) {
      const __m512i lanes = _mm512_setr_epi32(0, 0, 0, 0, 1, 1, 1, 1, 2, 2, 2, 2, 3, 3, 3, 3);
      return _mm512_permutexvar_ps(lanes, _mm512_broadcast_f32x4(_mm_load_ps(scales + 4 * step)));
    }
    const __m512i lanes = _mm512_setr_epi32(0, 0, 1, 1, 2, 2, 3, 3, 4, 4, 5, 5, 6, 6, 7, 7);
    return _mm512_permutexvar_ps(lanes, _mm512_broadcast_f32x8(_mm256_load_ps(scales + 8 * step)));
  }
  template <int kGroup>
  static QK_INLINE Floats spread_floats(const float* scales, int at) {
    const __m512 first = _mm512_set1_ps(scales[at / kGroup]);
    if constexpr (kGroup >= kLanes) return first;
    return _mm512_mask_broadcastss_ps(first, 0xff00, _mm_load_ss(scales + at / kGroup + 1));
  }

  static QK_INLINE Floats zero() { return _mm512_setzero_ps(); }
  static QK_INLINE Floats broadcast(float x) { return _mm512_set1_ps(x); }
  static QK_INLINE Floats load(const float* p) { return _mm512_loadu_ps(p); }
  static QK_INLINE void store(float* p, Floats a) { _mm512_storeu_ps(p, a); }
  template <int kBias>
  static QK_INLINE Words centre_bytes(Words w) {
    return _mm512_sub_epi8(w, _mm512_set1_epi8(static_cast<char>(kBias)));
  }
  static QK_INLINE Words digits_of_bytes(Words w, uint8_t power) {
    return digits_of_3(w, _mm512_set1_epi8(static_cast<char>(power)));
  }
  static QK_INLINE Floats add(Floats a, Floats b) { return _mm512_add_ps(a, b); }
  static QK_INLINE Floats fmul(Floats a, Floats b) { return _mm512_mul_ps(a, b); }
  static QK_INLINE Floats fma(Floats a, Floats b, Floats c) { return _mm512_fmadd_ps(a, b, c); }
  static QK_INLINE Floats fdiv(Floats a, Floats b) { return _mm512_div_ps(a, b); }
  static QK_INLINE Floats fmax(Floats a, Floats b) { return _mm512_max_ps(a, b); }
  static QK_INLINE Words bits_of(Floats a) { return _mm512_castps_si512(a); }
  static QK_INLINE void store_f16(uint16_t* p, Floats a) {
    _mm256_storeu_si256(reinterpret_cast<__m256i*>(p),
                        _mm512_cvtps_ph(a, _MM_FROUND_TO_NEAREST_INT));
  }
  static QK_INLINE Floats to_floats(Ints t) { return _mm512_cvtepi32_ps(t); }
  static QK_INLINE float sum(Floats a) {
    return sum8(_mm256_add_ps(_mm512_castps512_ps256(a), _mm512_extractf32x8_ps(a, 1)));
  }

 protected:
  // Shift counts for the 64-bit lanes: one for the first group of 32 weights, one for the second.
  // In full, here and in spread(), because GCC folds that to one constant in memory.
  static QK_INLINE __m512i shifts(int first, int second) {
    return _mm512_setr_epi64(first, first, first, first, second, second, second, second);
  }
  static QK_INLINE __m128i load16(const void* p) {
    return _mm_loadu_si128(static_cast<const __m128i*>(p));
  }
  static QK_INLINE __m256i load32(const void* p) {
    return _mm256_loadu_si256(static_cast<const __m256i*>(p));
  }
  static QK_INLINE __m128i quarter(__m512i a, int v) {
    if (v == 0) return _mm512_castsi512_si128(a);
    if (v == 1) return _mm512_extracti32x4_epi32(a, 1);
    if (v == 2) return _mm512_extracti32x4_epi32(a, 2);
    return _mm512_extracti32x4_epi32(a, 3);
  }
  template <int kBias>
  static QK_INLINE Ints subtract_bias(Ints dot, const int32_t (&sums4)[kUnit / 4], int step) {
    if constexpr (kBias == 0) return dot;
    const __m512i sums = _mm512_loadu_si512(sums4 + 16 * step);
    return _mm512_sub_epi32(dot, _mm512_slli_epi32(sums, __builtin_ctz(kBias | 256)));
  }
};

}  // namespace
}  // namespace qk::avx512vnni
