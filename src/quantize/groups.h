// Sixteen groups of weights that share a scale, side by side: a lane is a group, and the search for
// its scale reads like that for one. `kPer` neighbours are a superblock, whose scales share a half.
//
// A superblock's weights are divided by a power of two that brings the largest into [1, 4), so that
// sums of squares stay among the floats; its halves are multiplied by it again.
#pragma once

#include "core/half.h"
#include "quantize/lanes.h"
#include "quantize/quantizer.h"

namespace qk {

template <int kDepth>
struct Groups {
  Lanes x[kDepth];  // the i-th weight of every group
  Lanes w[kDepth];  // what its squared error is multiplied by
  Lanes power;      // what x was divided by
};

// Combines the lanes of each superblock; all of them get the result.
template <int kPer, class Combine>
QK_INLINE Lanes over_superblocks(Lanes lanes, Combine combine) {
  for (int first = 0; first < kQuantizeLanes; first += kPer) {
    float value = lanes[first];
    for (int g = first + 1; g < first + kPer; ++g) value = combine(value, lanes[g]);
    for (int g = first; g < first + kPer; ++g) lanes[g] = value;
  }
  return lanes;
}

template <int kPer>
QK_INLINE Lanes sum_of_superblocks(Lanes lanes) {
  return over_superblocks<kPer>(lanes, [](float a, float b) { return a + b; });
}

template <int kPer>
QK_INLINE Lanes most_of_superblocks(Lanes lanes) {
  return over_superblocks<kPer>(lanes, [](float a, float b) { return b > a ? b : a; });
}

// The one of the largest magnitude, with its sign.
template <int kPer>
QK_INLINE Lanes signed_most_of_superblocks(Lanes lanes) {
  return over_superblocks<kPer>(
      lanes, [](float a, float b) { return __builtin_fabsf(b) > __builtin_fabsf(a) ? b : a; });
}

// 2^e for the e of the number's own exponent, within the powers whose inverse is a normal float;
// below 2^-60 every scale is zero as a half.
QK_INLINE Lanes power_of_two_of(Lanes magnitude) {
  const Lanes bounded = min_lanes(max_lanes(magnitude, lanes_of(0x1p-60f)), lanes_of(0x1p126f));
  const auto bits = __builtin_bit_cast(LaneInts, bounded) & 0x7f800000;
  return __builtin_bit_cast(Lanes, bits);
}

// The first `count` groups of what x points to; the others are zeros.
template <int kDepth, int kPer>
QK_INLINE void load_groups(const float* x, const float* importance, int count,
                           Groups<kDepth>* groups) {
  Lanes largest{};
  for (int i = 0; i < kDepth; ++i) {
    Lanes weights{};
    Lanes factors = lanes_of(1.0f);
    for (int g = 0; g < count; ++g) weights[g] = x[g * kDepth + i];
    if (importance != nullptr) {
      for (int g = 0; g < count; ++g) factors[g] = importance[g * kDepth + i];
    }
    groups->x[i] = weights;
    groups->w[i] = factors;
    largest = max_lanes(largest, magnitude(weights));
  }
  groups->power = power_of_two_of(most_of_superblocks<kPer>(largest));
  const Lanes inverse = 1.0f / groups->power;
  for (Lanes& weights : groups->x) weights *= inverse;
}

// Scales, one a superblock, as the halves that a block holds.
struct HalfScales {
  U16 halves[kQuantizeLanes];  // of the superblock that each lane belongs to
  Lanes values;                // the same as floats, over the power
  bool fit;
};

template <int kPer>
QK_INLINE HalfScales to_half_scales(Lanes scales, Lanes power) {
  HalfScales result;
  result.fit = true;
  for (int first = 0; first < kQuantizeLanes; first += kPer) {
    result.fit &= store_scale(scales[first] * power[first], result.halves[first]);
    const float value = half_to_float(result.halves[first].get()) / power[first];
    for (int g = first; g < first + kPer; ++g) {
      result.halves[g] = result.halves[first];
      result.values[g] = value;
    }
  }
  return result;
}

}  // namespace qk
