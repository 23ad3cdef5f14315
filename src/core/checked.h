// Overflow-safe arithmetic on sizes that come from files and callers.
//
// Every function returns false, and leaves *out alone, when the exact result does not fit.
#pragma once

#include <cstdint>

#include "core/macros.h"

namespace qk {

QK_INLINE bool checked_add(int64_t a, int64_t b, int64_t* out) {
  int64_t sum;
  if (__builtin_add_overflow(a, b, &sum)) return false;
  *out = sum;
  return true;
}

QK_INLINE bool checked_mul(int64_t a, int64_t b, int64_t* out) {
  int64_t product;
  if (__builtin_mul_overflow(a, b, &product)) return false;
  *out = product;
  return true;
}

// ceil(a / b) for a >= 0 and b > 0; cannot overflow.
QK_INLINE constexpr int64_t ceil_div(int64_t a, int64_t b) { return a / b + (a % b != 0 ? 1 : 0); }

// a rounded up to a multiple of b, for a >= 0 and b > 0.
QK_INLINE bool checked_round_up(int64_t a, int64_t b, int64_t* out) {
  return checked_mul(ceil_div(a, b), b, out);
}

}  // namespace qk
