// AVX2 with FMA and F16C: 32 quants a step.
//
// int16 activations are kept as words, not planes: quants widen to 16 bits by interleaving with
// zero, which leaves 0-7,16-23 and 8-15,24-31 in two registers, and words are stored in that order.
// vpmaddwd then never saturates (2 * 255 * 32639 = 1.7e7), and the sums of 16 consecutive weights
// stay in one 128-bit lane. Quants lose their bias before they are multiplied.
#pragma once

#include "isa/avx2_bytes.h"
#include "isa/avx2_panels.h"
#include "isa/avx_common.h"

namespace qk::avx2 {
namespace {

struct Isa : AvxCommon, Panels, ByteDots {
  static constexpr const char* kName = "avx2";
  static constexpr uint64_t kNeeds = cpu::avx2 | cpu::fma | cpu::f16c;
  static constexpr int kStep = 32;
  static constexpr int kLanes = 8;

  using Quants = __m256i;
  using Ints = __m256i;
  using Floats = __m256;

  static QK_INLINE Quants nibbles_of_16(const uint8_t* p) {
    const __m128i packed = _mm_loadu_si128(reinterpret_cast<const __m128i*>(p));
    const __m256i twice = _mm256_permute4x64_epi64(_mm256_castsi128_si256(packed), 0x50);
    const __m256i shifted = _mm256_srlv_epi64(twice, _mm256_setr_epi64x(0, 4, 0, 4));
    return _mm256_and_si256(shifted, _mm256_set1_epi8(15));
  }
  template <int kStride>
  static QK_INLINE Quants nibbles_of_32(const uint8_t* p) {
    const __m128i packed = _mm_loadu_si128(reinterpret_cast<const __m128i*>(p));
    const __m256i both =
        _mm256_inserti128_si256(_mm256_castsi128_si256(packed), _mm_srli_epi16(packed, 4), 1);
    return _mm256_and_si256(both, _mm256_set1_epi8(15));
  }
  static QK_INLINE Quants nibbles_of_64(const uint8_t* p, int step) {
    const __m256i run = load_bytes(p + 32 * (step / 2));
    const __m256i nibbles = step % 2 == 0 ? run : _mm256_srli_epi16(run, 4);
    return _mm256_and_si256(nibbles, _mm256_set1_epi8(15));
  }
  static QK_INLINE Quants nibbles_of_128(const uint8_t* p, int step) {
    const __m256i run = load_bytes(p + 64 * (step / 4) + 32 * (step % 2));
    const __m256i nibbles = step / 2 % 2 == 0 ? run : _mm256_srli_epi16(run, 4);
    return _mm256_and_si256(nibbles, _mm256_set1_epi8(15));
  }
  static QK_INLINE Quants crumbs_of_128(const uint8_t* p, int step) {
    const __m256i run = load_bytes(p + 32 * (step / 4));
    const __m256i crumbs = _mm256_srl_epi16(run, _mm_cvtsi32_si128(2 * (step % 4)));
    return _mm256_and_si256(crumbs, _mm256_set1_epi8(3));
  }
  static QK_INLINE Quants bits_of_256(const uint8_t* p, int step) {
    const __m256i bits = _mm256_srl_epi16(load_bytes(p), _mm_cvtsi32_si128(step));
    return _mm256_and_si256(bits, _mm256_set1_epi8(1));
  }
  template <int kStride>
  static QK_INLINE Quants bits_of_32(const uint8_t* p) {
    uint32_t word;
    __builtin_memcpy(&word, p, sizeof(word));
    return _mm256_and_si256(bytes_of_bits(word), _mm256_set1_epi8(1));
  }
  // Every byte four times, each time with two bits of it left in place; these are looked up.
  template <int kStride>
  static QK_INLINE Quants crumbs_of_32(const uint8_t* p) {
    int64_t bytes;
    __builtin_memcpy(&bytes, p, sizeof(bytes));
    const __m256i which = _mm256_setr_epi32(0, 0x01010101, 0x02020202, 0x03030303, 0x04040404,
                                            0x05050505, 0x06060606, 0x07070707);
    const __m256i four = _mm256_shuffle_epi8(_mm256_set1_epi64x(bytes), which);
    const __m256i nibbles = _mm256_blend_epi16(four, _mm256_srli_epi16(four, 4), 0xaa);
    const __m128i values = _mm_setr_epi8(0, 1, 2, 3, 1, 0, 0, 0, 2, 0, 0, 0, 3, 0, 0, 0);
    return _mm256_shuffle_epi8(_mm256_broadcastsi128_si256(values),
                               _mm256_and_si256(nibbles, _mm256_set1_epi16(0x0c03)));
  }
  static QK_INLINE Quants load_quants(const uint8_t* p) { return load_bytes(p); }
  template <class Row>
  static QK_INLINE Quants octets(Row row) {
    const auto word = [row](int i) { return static_cast<long long>(row(i)); };
    return _mm256_setr_epi64x(word(0), word(1), word(2), word(3));
  }
  template <int kShift>
  static QK_INLINE Quants combine(Quants low, Quants high) {
    return _mm256_or_si256(low, _mm256_slli_epi16(high, kShift));
  }
  static QK_INLINE Quants look_up(Quants q, const uint8_t (&table)[16]) {
    const __m128i values = _mm_loadu_si128(reinterpret_cast<const __m128i*>(table));
    return _mm256_shuffle_epi8(_mm256_broadcastsi128_si256(values), q);
  }
  template <int kStride>
  static QK_INLINE Quants signed_bytes(const int8_t* p) {
    return _mm256_xor_si256(load_bytes(p), _mm256_set1_epi8(-128));
  }

  template <int kBias>
  static QK_INLINE Quants apply_signs(Quants m, uint64_t signs) {
    const __m256i minus = bytes_of_bits(static_cast<uint32_t>(signs));
    const __m256i bias = _mm256_sub_epi8(_mm256_set1_epi8(kBias), minus);
    return _mm256_add_epi8(_mm256_xor_si256(m, minus), bias);
  }
  // Bytes multiply as words: the even ones below what is masked off, the odd ones above it. A high
  // byte of 3 * rest is how many of 256 / 3 and 512 / 3 a rest reaches.
  static QK_INLINE Quants digits_of_3(Quants q, Quants powers) {
    const __m256i low = _mm256_set1_epi16(255);
    const __m256i even = _mm256_and_si256(_mm256_mullo_epi16(q, powers), low);
    const __m256i odd =
        _mm256_mullo_epi16(_mm256_andnot_si256(low, q), _mm256_srli_epi16(powers, 8));
    const __m256i rest = _mm256_or_si256(even, odd);
    const __m256i one = at_least(rest, 86);
    return _mm256_sub_epi8(_mm256_setzero_si256(), _mm256_add_epi8(one, at_least(rest, 171)));
  }

  template <class T>
  static QK_INLINE Floats load_f32(const T* p) {
    return _mm256_loadu_ps(reinterpret_cast<const float*>(p));
  }
  template <class T>
  static QK_INLINE Floats load_f16(const T* p) {
    return _mm256_cvtph_ps(_mm_loadu_si128(reinterpret_cast<const __m128i*>(p)));
  }
  template <class T>
  static QK_INLINE Floats load_bf16(const T* p) {
    const __m128i bits = _mm_loadu_si128(reinterpret_cast<const __m128i*>(p));
    return _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_cvtepu16_epi32(bits), 16));
  }

  template <class F>
  static QK_INLINE Ints dot_int16(Quants q, const int8_t (&planes)[2][kUnit],
                                  const int32_t (&)[kUnit / 4], int step) {
    const int8_t* words = &planes[0][0] + 64 * step;
    const __m256i zero = _mm256_setzero_si256();
    const __m256i bias = _mm256_set1_epi16(F::kBias);
    const __m256i first = _mm256_sub_epi16(_mm256_unpacklo_epi8(q, zero), bias);
    const __m256i second = _mm256_sub_epi16(_mm256_unpackhi_epi8(q, zero), bias);
    return join<F::kGroup>(_mm256_madd_epi16(first, load_bytes(words)),
                           _mm256_madd_epi16(second, load_bytes(words + 32)));
  }
  static QK_INLINE void store_int16(int8_t (&planes)[2][kUnit], int g,
                                    const int32_t (&v)[kActivationGroup]) {
    int16_t words[kActivationGroup];
    for (int i = 0; i < 8; ++i) {
      words[i] = static_cast<int16_t>(v[i]);
      words[i + 8] = static_cast<int16_t>(v[i + 16]);
      words[i + 16] = static_cast<int16_t>(v[i + 8]);
      words[i + 24] = static_cast<int16_t>(v[i + 24]);
    }
    __builtin_memcpy(&planes[0][0] + 64 * g, words, sizeof(words));
  }

  // vpmaddubsw wants one side unsigned: a signed quant gives its sign to the activation. Pair sums
  // never reach where they saturate, 32767: at most 128 * 127 * 2 = 32512.
  template <class F>
  static QK_INLINE Ints dot_int8(Quants q, const int8_t (&planes)[1][kUnit],
                                 const int32_t (&)[kUnit / 4], int step) {
    static_assert(F::kMaxQuant - F::kBias <= 127 && F::kBias <= 128);
    const __m256i x = load_bytes(planes[0] + kStep * step);
    const __m256i ones = _mm256_set1_epi16(1);
    if constexpr (F::kBias == 0) {
      return _mm256_madd_epi16(_mm256_maddubs_epi16(q, x), ones);
    } else {
      const __m256i w = centre<F::kBias>(q);
      const __m256i pairs = _mm256_maddubs_epi16(_mm256_abs_epi8(w), _mm256_sign_epi8(x, w));
      return _mm256_madd_epi16(pairs, ones);
    }
  }

  template <int kBias>
  static QK_INLINE Floats quant_floats(Quants q, int v) {
    const __m256i centred = centre<kBias>(q);
    const __m128i half =
        v < 2 ? _mm256_castsi256_si128(centred) : _mm256_extracti128_si256(centred, 1);
    const __m128i eight = v % 2 == 0 ? half : _mm_srli_si128(half, 8);
    return _mm256_cvtepi32_ps(_mm256_cvtepi8_epi32(eight));
  }
  template <int kGroup>
  static QK_INLINE Floats spread(const float* scales, int step) {
    if constexpr (kGroup == 32) return _mm256_broadcast_ss(scales + step);
    if constexpr (kGroup == 16) {
      return _mm256_set_m128(_mm_broadcast_ss(scales + 2 * step + 1),
                             _mm_broadcast_ss(scales + 2 * step));
    }
    const __m256 four = _mm256_broadcast_ps(reinterpret_cast<const __m128*>(scales + 4 * step));
    return _mm256_permutevar8x32_ps(four, _mm256_setr_epi32(0, 0, 1, 1, 2, 2, 3, 3));
  }
  template <int kGroup>
  static QK_INLINE Floats spread_floats(const float* scales, int at) {
    return _mm256_broadcast_ss(scales + at / kGroup);
  }

  static QK_INLINE Floats zero() { return _mm256_setzero_ps(); }
  static QK_INLINE Floats broadcast(float x) { return _mm256_set1_ps(x); }
  static QK_INLINE Floats load(const float* p) { return _mm256_loadu_ps(p); }
  static QK_INLINE void store(float* p, Floats a) { _mm256_storeu_ps(p, a); }
  template <int kBias>
  static QK_INLINE Words centre_bytes(Words w) {
    return centre<kBias>(w);
  }
  static QK_INLINE Words digits_of_bytes(Words w, uint8_t power) {
    return digits_of_3(w, _mm256_set1_epi8(static_cast<char>(power)));
  }
  static QK_INLINE Floats add(Floats a, Floats b) { return _mm256_add_ps(a, b); }
  static QK_INLINE Floats fmul(Floats a, Floats b) { return _mm256_mul_ps(a, b); }
  static QK_INLINE Floats fma(Floats a, Floats b, Floats c) { return _mm256_fmadd_ps(a, b, c); }
  static QK_INLINE Floats fdiv(Floats a, Floats b) { return _mm256_div_ps(a, b); }
  static QK_INLINE Floats fmax(Floats a, Floats b) { return _mm256_max_ps(a, b); }
  static QK_INLINE Words bits_of(Floats a) { return _mm256_castps_si256(a); }
  static QK_INLINE void store_f16(uint16_t* p, Floats a) {
    _mm_storeu_si128(reinterpret_cast<__m128i*>(p), _mm256_cvtps_ph(a, _MM_FROUND_TO_NEAREST_INT));
  }
  static QK_INLINE Floats to_floats(Ints t) { return _mm256_cvtepi32_ps(t); }
  static QK_INLINE float sum(Floats a) { return sum8(a); }

 protected:
  static QK_INLINE __m256i load_bytes(const void* p) {
    return _mm256_loadu_si256(static_cast<const __m256i*>(p));
  }
  // A byte a bit, lowest first: every byte of the word goes to eight, and each keeps its own bit.
  static QK_INLINE __m256i bytes_of_bits(uint32_t word) {
    const __m256i bytes = _mm256_shuffle_epi8(
        _mm256_set1_epi32(static_cast<int>(word)),
        _mm256_setr_epi64x(0, 0x0101010101010101, 0x0202020202020202, 0x0303030303030303));
    const __m256i masks = _mm256_set1_epi64x(static_cast<long long>(0x8040201008040201));
    return _mm256_cmpeq_epi8(_mm256_and_si256(bytes, masks), masks);
  }
  static QK_INLINE __m256i at_least(__m256i a, int b) {
    return _mm256_cmpeq_epi8(_mm256_max_epu8(a, _mm256_set1_epi8(static_cast<char>(b))), a);
  }
  // Sums of 0-7,16-23 and of 8-15,24-31: added where 16 weights share a scale, and kept apart,
  // four consecutive weights a lane, where only 8 do.
  template <int kGroup>
  static QK_INLINE __m256i join(__m256i first, __m256i second) {
    if constexpr (kGroup == 8) return _mm256_hadd_epi32(first, second);
    return _mm256_add_epi32(first, second);
  }
  // q - kBias, which wraps to the right signed byte. Subtracting 128 is flipping the highest bit:
  // written so, it cancels against what signed_bytes() did.
  template <int kBias>
  static QK_INLINE __m256i centre(Quants q) {
    const __m256i bias = _mm256_set1_epi8(static_cast<char>(kBias));
    return kBias == 128 ? _mm256_xor_si256(q, bias) : _mm256_sub_epi8(q, bias);
  }
};

}  // namespace
}  // namespace qk::avx2
