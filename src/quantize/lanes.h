// Sixteen numbers at once, written as if they were one: the compiler's vectors, as wide as the
// target has them, side by side. A result has the same bits on every target.
#pragma once

#include <cstdint>

#include "core/half.h"
#include "core/macros.h"

namespace qk::QK_ISA {
namespace {

inline constexpr int kQuantizeLanes = 16;

// A wider vector than the target's would be taken apart lane by lane where it is compared.
inline constexpr int kVectorBytes = __BIGGEST_ALIGNMENT__ < 64 ? __BIGGEST_ALIGNMENT__ : 64;

template <class T>
struct Sixteen {
  static constexpr int kEach = kVectorBytes / static_cast<int>(sizeof(T));
  static constexpr int kVectors = kQuantizeLanes / kEach;
  typedef T Vector __attribute__((vector_size(kVectorBytes)));  // NOLINT(modernize-use-using)
  using Mask = Sixteen<int32_t>;

  Vector part[kVectors];

  Sixteen() = default;
  // The same number in every lane; implicit, so that numbers and lanes mix in a formula.
  QK_INLINE Sixteen(T value) {  // NOLINT(misc-explicit-constructor)
    for (Vector& v : part) v = Vector{} + value;
  }

  QK_INLINE T operator[](int lane) const { return part[lane / kEach][lane % kEach]; }

  QK_INLINE Sixteen& operator+=(const Sixteen& b) { return *this = *this + b; }
  QK_INLINE Sixteen& operator-=(const Sixteen& b) { return *this = *this - b; }
  QK_INLINE Sixteen& operator*=(const Sixteen& b) { return *this = *this * b; }

  friend QK_INLINE Sixteen operator-(Sixteen a) {
    for (Vector& v : a.part) v = -v;
    return a;
  }
  friend QK_INLINE Sixteen operator+(Sixteen a, const Sixteen& b) {
    for (int i = 0; i < kVectors; ++i) a.part[i] += b.part[i];
    return a;
  }
  friend QK_INLINE Sixteen operator-(Sixteen a, const Sixteen& b) {
    for (int i = 0; i < kVectors; ++i) a.part[i] -= b.part[i];
    return a;
  }
  friend QK_INLINE Sixteen operator*(Sixteen a, const Sixteen& b) {
    for (int i = 0; i < kVectors; ++i) a.part[i] *= b.part[i];
    return a;
  }
  friend QK_INLINE Sixteen operator/(Sixteen a, const Sixteen& b) {
    for (int i = 0; i < kVectors; ++i) a.part[i] /= b.part[i];
    return a;
  }
  friend QK_INLINE Sixteen operator&(Sixteen a, const Sixteen& b) {
    for (int i = 0; i < kVectors; ++i) a.part[i] &= b.part[i];
    return a;
  }
  friend QK_INLINE Sixteen operator|(Sixteen a, const Sixteen& b) {
    for (int i = 0; i < kVectors; ++i) a.part[i] |= b.part[i];
    return a;
  }
  friend QK_INLINE Sixteen operator<<(Sixteen a, int bits) {
    for (Vector& v : a.part) v <<= bits;
    return a;
  }

  // All bits of a lane where it holds, none where it does not.
  friend QK_INLINE Mask operator<(const Sixteen& a, const Sixteen& b) {
    Mask mask;
    for (int i = 0; i < kVectors; ++i) mask.part[i] = a.part[i] < b.part[i];
    return mask;
  }
  friend QK_INLINE Mask operator>(const Sixteen& a, const Sixteen& b) { return b < a; }
};

using Lanes = Sixteen<float>;
using LaneInts = Sixteen<int32_t>;

QK_INLINE Lanes load_lanes(const float* from) {
  Lanes lanes;
  __builtin_memcpy(&lanes, from, sizeof(lanes));
  return lanes;
}

QK_INLINE void store_lanes(const Lanes& lanes, float* to) {
  __builtin_memcpy(to, &lanes, sizeof(lanes));
}
QK_INLINE void store_lanes(const LaneInts& lanes, int32_t* to) {
  __builtin_memcpy(to, &lanes, sizeof(lanes));
}

// Per lane: `a` where the mask is set, else `b`.
template <class T>
QK_INLINE Sixteen<T> select(const LaneInts& mask, Sixteen<T> a, const Sixteen<T>& b) {
  for (int i = 0; i < Lanes::kVectors; ++i) a.part[i] = mask.part[i] ? a.part[i] : b.part[i];
  return a;
}

QK_INLINE Lanes min_lanes(const Lanes& a, const Lanes& b) { return select(a < b, a, b); }
QK_INLINE Lanes max_lanes(const Lanes& a, const Lanes& b) { return select(a > b, a, b); }
QK_INLINE Lanes magnitude(const Lanes& a) { return max_lanes(a, -a); }

// To the nearest whole number, ties to even, for |a| < 2^22: the sum leaves no bits for fractions.
QK_INLINE Lanes round_lanes(const Lanes& a) {
  constexpr float kShift = 12582912.0f;  // 1.5 * 2^23
  return (a + kShift) - kShift;
}

QK_INLINE LaneInts to_ints(const Lanes& a) {
  LaneInts ints;
  for (int i = 0; i < Lanes::kVectors; ++i) {
    ints.part[i] = __builtin_convertvector(a.part[i], LaneInts::Vector);
  }
  return ints;
}

// 1 / a, or 0 where that is no finite number.
QK_INLINE Lanes inverse_or_0(const Lanes& a) {
  const Lanes inverse = 1.0f / a;
  return select(magnitude(inverse) < __builtin_inff(), inverse, Lanes(0.0f));
}

QK_INLINE float inverse_or_0(float a) {
  const float inverse = 1.0f / a;
  return __builtin_fabsf(inverse) < __builtin_inff() ? inverse : 0.0f;
}

using FourLanes = float __attribute__((vector_size(16)));

QK_INLINE FourLanes least(FourLanes a, FourLanes b) { return b < a ? b : a; }
QK_INLINE float least(float a, float b) { return b < a ? b : a; }

// The least of the lanes.
QK_INLINE float least_of(const Lanes& lanes) {
  FourLanes parts[4];
  __builtin_memcpy(parts, &lanes, sizeof(parts));
  const FourLanes four = least(least(parts[0], parts[1]), least(parts[2], parts[3]));
  return least(least(four[0], four[1]), least(four[2], four[3]));
}

struct Extremes {
  float low;
  float high;
};

// The least and the largest of kCount values, a multiple of 16.
template <int kCount>
QK_INLINE Extremes extremes(const float* x) {
  Lanes low = load_lanes(x);
  Lanes high = low;
  for (int i = kQuantizeLanes; i < kCount; i += kQuantizeLanes) {
    low = min_lanes(load_lanes(x + i), low);
    high = max_lanes(load_lanes(x + i), high);
  }
  return {least_of(low), -least_of(-high)};
}

template <int kCount>
QK_INLINE float largest_magnitude(const float* x) {
  const Extremes all = extremes<kCount>(x);
  // The absolute value, as of zeros the negative one may be among them.
  return __builtin_fabsf(-all.low > all.high ? all.low : all.high);
}

// The first value of the largest magnitude.
template <int kCount>
QK_INLINE float signed_largest(const float* x) {
  const Extremes all = extremes<kCount>(x);
  if (-all.low != all.high) return -all.low > all.high ? all.low : all.high;
  for (int i = 0; i < kCount; ++i) {
    if (__builtin_fabsf(x[i]) == all.high) return x[i];
  }
  return 0.0f;
}

}  // namespace
}  // namespace qk::QK_ISA
