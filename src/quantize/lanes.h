// Sixteen floats at once, written as if they were one: the compiler's vectors, of whatever width
// the target has. A result has the same bits on every target.
#pragma once

#include <cstdint>

#include "core/half.h"
#include "core/macros.h"

namespace qk {

inline constexpr int kQuantizeLanes = 16;

using Lanes = float __attribute__((vector_size(4 * kQuantizeLanes)));
using LaneInts = int32_t __attribute__((vector_size(4 * kQuantizeLanes)));

QK_INLINE Lanes lanes_of(float value) { return Lanes{} + value; }

QK_INLINE Lanes load_lanes(const float* from) {
  Lanes lanes;
  __builtin_memcpy(&lanes, from, sizeof(lanes));
  return lanes;
}

QK_INLINE void store_lanes(LaneInts lanes, int32_t* to) {
  __builtin_memcpy(to, &lanes, sizeof(lanes));
}

// Per lane: `a` where the mask is set, else `b`.
QK_INLINE Lanes select(LaneInts mask, Lanes a, Lanes b) { return mask ? a : b; }

QK_INLINE Lanes min_lanes(Lanes a, Lanes b) { return select(a < b, a, b); }
QK_INLINE Lanes max_lanes(Lanes a, Lanes b) { return select(a > b, a, b); }
QK_INLINE Lanes magnitude(Lanes a) { return max_lanes(a, -a); }

// To the nearest whole number, ties to even, for |a| < 2^22: the sum leaves no bits for fractions.
QK_INLINE Lanes round_lanes(Lanes a) {
  constexpr float kShift = 12582912.0f;  // 1.5 * 2^23
  return (a + kShift) - kShift;
}

QK_INLINE LaneInts to_ints(Lanes a) { return __builtin_convertvector(a, LaneInts); }
QK_INLINE Lanes to_floats(LaneInts a) { return __builtin_convertvector(a, Lanes); }

// 1 / a, or 0 where that is no finite number.
QK_INLINE Lanes inverse_or_0(Lanes a) {
  const Lanes inverse = 1.0f / a;
  return select(magnitude(inverse) < __builtin_inff(), inverse, Lanes{});
}

QK_INLINE float inverse_or_0(float a) {
  const float inverse = 1.0f / a;
  return __builtin_fabsf(inverse) < __builtin_inff() ? inverse : 0.0f;
}

// Over the lanes: halves against halves, so that the bits are everybody's.
template <class Combine>
QK_INLINE float reduce(Lanes lanes, Combine combine) {
  float values[kQuantizeLanes];
  __builtin_memcpy(values, &lanes, sizeof(values));
  for (int half = kQuantizeLanes / 2; half > 0; half /= 2) {
    for (int i = 0; i < half; ++i) values[i] = combine(values[i], values[i + half]);
  }
  return values[0];
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
  return {reduce(low, [](float a, float b) { return b < a ? b : a; }),
          reduce(high, [](float a, float b) { return b > a ? b : a; })};
}

template <int kCount>
QK_INLINE float largest_magnitude(const float* x) {
  const Extremes all = extremes<kCount>(x);
  return -all.low > all.high ? -all.low : all.high;
}

// The first value of the largest magnitude.
template <int kCount>
QK_INLINE float signed_largest(const float* x) {
  const float largest = largest_magnitude<kCount>(x);
  for (int i = 0; i < kCount; ++i) {
    if (__builtin_fabsf(x[i]) == largest) return x[i];
  }
  return 0.0f;
}

}  // namespace qk
