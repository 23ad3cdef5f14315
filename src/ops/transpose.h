// Elements of a panel's rows, [row][i], to the runs of a panel, [i][row], and back.
//
// Sixteen bytes of every row are transposed at a time, in vectors that every 64-bit CPU has. Zipping
// the first half of an array with the second rotates the bits of each element's index by one, the
// highest to the lowest place: as many zips as a row's number has bits bring [row][i] to [i][row].
#pragma once

#include <cstdint>
#include <cstring>
#include <utility>

#include "core/macros.h"

namespace qk {

inline constexpr int kTransposedBytes = 16;  // of a row, at a time

template <class T>
struct Transposed {
  using Vector __attribute__((vector_size(kTransposedBytes))) = T;
  static constexpr int kLanes = kTransposedBytes / sizeof(T);

  // a[kFirst], b[kFirst], a[kFirst + 1], b[kFirst + 1], ...
  template <int kFirst>
  static QK_INLINE Vector zip(Vector a, Vector b) {
    return [&]<int... kLane>(std::integer_sequence<int, kLane...>) __attribute__((always_inline)) {
      return __builtin_shufflevector(a, b, (kFirst + kLane / 2 + kLane % 2 * kLanes)...);
    }(std::make_integer_sequence<int, kLanes>{});
  }

  template <int kRows>
  static QK_INLINE void zip_halves(Vector (&v)[kRows]) {
    Vector zipped[kRows];
    for (int i = 0; i < kRows / 2; ++i) {
      zipped[2 * i] = zip<0>(v[i], v[i + kRows / 2]);
      zipped[2 * i + 1] = zip<kLanes / 2>(v[i], v[i + kRows / 2]);
    }
    for (int i = 0; i < kRows; ++i) v[i] = zipped[i];
  }
};

// The sixteen bytes at `at` of each of kRows rows to a panel.
template <class T, int kRows>
QK_INLINE void transpose_rows(const uint8_t* const (&rows)[kRows], int64_t at, uint8_t* panel) {
  typename Transposed<T>::Vector v[kRows];
  for (int r = 0; r < kRows; ++r) std::memcpy(&v[r], rows[r] + at, kTransposedBytes);
  for (int bit = 1; bit < kRows; bit *= 2) Transposed<T>::zip_halves(v);
  for (int r = 0; r < kRows; ++r)
    std::memcpy(panel + r * kTransposedBytes, &v[r], kTransposedBytes);
}

template <class T, int kRows>
QK_INLINE void transpose_back(const uint8_t* panel, uint8_t* const (&rows)[kRows], int64_t at) {
  typename Transposed<T>::Vector v[kRows];
  for (int r = 0; r < kRows; ++r)
    std::memcpy(&v[r], panel + r * kTransposedBytes, kTransposedBytes);
  for (int bit = 1; bit < Transposed<T>::kLanes; bit *= 2) Transposed<T>::zip_halves(v);
  for (int r = 0; r < kRows; ++r) std::memcpy(rows[r] + at, &v[r], kTransposedBytes);
}

}  // namespace qk
