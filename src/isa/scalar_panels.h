// Panels in plain C++: four rows.
#pragma once

#include "isa/idioms.h"

namespace qk::scalar {
namespace {

struct Panels {
  static constexpr int kPanelBatchRows = 4;
  static constexpr int kPanelRows = 4;

  struct Words {
    uint32_t v[kPanelRows];
  };
  template <int kPlanes>
  struct PanelSum {
    int32_t v[kPanelRows];
  };

  static QK_INLINE Words load_words(const uint8_t* p) {
    Words r;
    __builtin_memcpy(r.v, p, sizeof(r.v));
    return r;
  }
  static QK_INLINE Words load_u16s(const uint8_t* p) {
    uint16_t values[kPanelRows];
    __builtin_memcpy(values, p, sizeof(values));
    return {{values[0], values[1], values[2], values[3]}};
  }
  static QK_INLINE Words load_u8s(const uint8_t* p) { return {{p[0], p[1], p[2], p[3]}}; }
  static QK_INLINE Words load_s8s(const uint8_t* p) {
    Words r;
    for (int i = 0; i < kPanelRows; ++i) r.v[i] = (p[i] ^ 0x80u) - 0x80u;
    return r;
  }
  static QK_INLINE Words and_bits(Words w, uint32_t bits) {
    for (uint32_t& v : w.v) v &= bits;
    return w;
  }
  static QK_INLINE Words xor_bits(Words w, uint32_t bits) {
    for (uint32_t& v : w.v) v ^= bits;
    return w;
  }
  static QK_INLINE Words add_bits(Words w, uint32_t bits) {
    for (uint32_t& v : w.v) v += bits;
    return w;
  }
  static QK_INLINE Words or_words(Words a, Words b) {
    for (int i = 0; i < kPanelRows; ++i) a.v[i] |= b.v[i];
    return a;
  }
  static QK_INLINE Words sub_words(Words a, Words b) {
    for (int i = 0; i < kPanelRows; ++i) a.v[i] -= b.v[i];
    return a;
  }
  static QK_INLINE Words shift_left(Words w, int count) {
    for (uint32_t& v : w.v) v <<= count;
    return w;
  }
  static QK_INLINE Words shift_right(Words w, int count) {
    for (uint32_t& v : w.v) v >>= count;
    return w;
  }
  static QK_INLINE Words signed_byte(Words w, int byte) {
    for (uint32_t& v : w.v) {
      v = static_cast<uint32_t>(static_cast<int32_t>(v << (24 - 8 * byte)) >> 24);
    }
    return w;
  }
  template <int kBias>
  static QK_INLINE Words centre_bytes(Words w) {
    return each_byte(w, [](uint8_t q) { return static_cast<uint8_t>(q - kBias); });
  }
  static QK_INLINE Words look_up_bytes(Words w, const uint8_t (&table)[16]) {
    return each_byte(w, [&table](uint8_t code) { return table[code]; });
  }
  static QK_INLINE Words digits_of_bytes(Words w, uint8_t power) {
    return each_byte(w, [power](uint8_t byte) {
      return static_cast<uint8_t>(static_cast<uint8_t>(byte * power) * 3 >> 8);
    });
  }

  template <class F, int kPlanes>
  static QK_INLINE PanelSum<kPlanes> panel_start(int32_t minus_bias) {
    return {{minus_bias, minus_bias, minus_bias, minus_bias}};
  }
  template <class F, int kPlanes>
  static QK_INLINE void panel_add(PanelSum<kPlanes>& sum, Words q,
                                  const int8_t (&planes)[kPlanes][kUnit], int first, int index) {
    const int quad = first + index;
    for (int i = 0; i < 4; ++i) {
      for (int r = 0; r < kPanelRows; ++r) {
        const auto quant = static_cast<int32_t>(q.v[r] >> (8 * i) & 255);
        if constexpr (kPlanes == 2) sum.v[r] += 256 * (quant * planes[0][4 * quad + i]);
        sum.v[r] += quant * planes[kPlanes - 1][4 * quad + i];
      }
    }
  }
  template <class F, int kPlanes>
  static QK_INLINE Words panel_total(PanelSum<kPlanes> sum) {
    Words r;
    __builtin_memcpy(r.v, sum.v, sizeof(r.v));
    return r;
  }

 private:
  template <class Body>
  static QK_INLINE Words each_byte(Words w, Body body) {
    uint8_t bytes[sizeof(w.v)];
    __builtin_memcpy(bytes, w.v, sizeof(bytes));
    for (uint8_t& byte : bytes) byte = body(byte);
    __builtin_memcpy(w.v, bytes, sizeof(bytes));
    return w;
  }
};

}  // namespace
}  // namespace qk::scalar
