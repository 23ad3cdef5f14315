// What ISAs that add tiles to avx512vnni share.
#pragma once

#include "isa/avx512vnni.h"

namespace qk {
namespace {

struct Avx512Tiles {
  // to[j][i] = from[i][j], for 16 x 16 words: pairs of rows, pairs of pairs, and then 128 bits at a
  // time.
  static QK_INLINE void transpose(const void* from, void* to) {
    __m512i a[16];
    __m512i b[16];
    for (int i = 0; i < 16; ++i) a[i] = _mm512_loadu_si512(static_cast<const char*>(from) + 64 * i);
    for (int i = 0; i < 16; i += 2) {
      b[i] = _mm512_unpacklo_epi32(a[i], a[i + 1]);
      b[i + 1] = _mm512_unpackhi_epi32(a[i], a[i + 1]);
    }
    // a[4 q + c]: of rows 4 q to 4 q + 3, the words c, 4 + c, 8 + c and 12 + c.
    for (int i = 0; i < 16; i += 4) {
      for (int c = 0; c < 2; ++c) {
        a[i + 2 * c] = _mm512_unpacklo_epi64(b[i + c], b[i + 2 + c]);
        a[i + 2 * c + 1] = _mm512_unpackhi_epi64(b[i + c], b[i + 2 + c]);
      }
    }
    for (int c = 0; c < 4; ++c) {
      const __m512i even[2] = {_mm512_shuffle_i32x4(a[c], a[4 + c], 0x88),
                               _mm512_shuffle_i32x4(a[8 + c], a[12 + c], 0x88)};
      const __m512i odd[2] = {_mm512_shuffle_i32x4(a[c], a[4 + c], 0xdd),
                              _mm512_shuffle_i32x4(a[8 + c], a[12 + c], 0xdd)};
      b[c] = _mm512_shuffle_i32x4(even[0], even[1], 0x88);
      b[4 + c] = _mm512_shuffle_i32x4(odd[0], odd[1], 0x88);
      b[8 + c] = _mm512_shuffle_i32x4(even[0], even[1], 0xdd);
      b[12 + c] = _mm512_shuffle_i32x4(odd[0], odd[1], 0xdd);
    }
    for (int j = 0; j < 16; ++j) _mm512_storeu_si512(static_cast<char*>(to) + 64 * j, b[j]);
  }
};

}  // namespace
}  // namespace qk
