// Sixteen groups of weights that share a scale, side by side: a lane is a group, and the search for
// its scale reads like that for one. `kPer` neighbours are a superblock, whose scales share a half.
//
// A superblock's weights are divided by a power of two that brings the largest into [1, 4), so that
// sums of squares stay among the floats; its halves are multiplied by it again.
#pragma once

#include "core/half.h"
#include "quantize/lanes.h"
#include "quantize/quantizer.h"

namespace qk::QK_ISA {
namespace {

template <int kDepth>
struct Groups {
  Lanes x[kDepth];  // the i-th weight of every group
  Lanes w[kDepth];  // what its squared error is multiplied by
  Lanes power;      // what x was divided by
};

// Combines the lanes of each superblock; all of them get the result.
template <int kPer, class Combine>
QK_INLINE Lanes over_superblocks(const Lanes& lanes, Combine combine) {
  float values[kQuantizeLanes];
  store_lanes(lanes, values);
  for (int first = 0; first < kQuantizeLanes; first += kPer) {
    float value = values[first];
    for (int g = first + 1; g < first + kPer; ++g) value = combine(value, values[g]);
    for (int g = first; g < first + kPer; ++g) values[g] = value;
  }
  return load_lanes(values);
}

template <int kPer>
QK_INLINE Lanes sum_of_superblocks(const Lanes& lanes) {
  return over_superblocks<kPer>(lanes, [](float a, float b) QK_INLINED { return a + b; });
}

template <int kPer>
QK_INLINE Lanes most_of_superblocks(const Lanes& lanes) {
  return over_superblocks<kPer>(lanes, [](float a, float b) QK_INLINED { return b > a ? b : a; });
}

// The one of the largest magnitude, with its sign.
template <int kPer>
QK_INLINE Lanes signed_most_of_superblocks(const Lanes& lanes) {
  return over_superblocks<kPer>(lanes, [](float a, float b) QK_INLINED {
    return __builtin_fabsf(b) > __builtin_fabsf(a) ? b : a;
  });
}

// 2^e for the e of the number's own exponent, within the powers whose inverse is a normal float;
// below 2^-60 every scale is zero as a half.
QK_INLINE Lanes power_of_two_of(const Lanes& magnitude) {
  const Lanes bounded = min_lanes(max_lanes(magnitude, 0x1p-60f), 0x1p126f);
  const LaneInts bits = __builtin_bit_cast(LaneInts, bounded) & 0x7f800000;
  return __builtin_bit_cast(Lanes, bits);
}

// The i-th values of `count` groups that lie one after another, and zeros.
template <int kDepth>
QK_INLINE void transpose(const float* x, int count, Lanes* out) {
  alignas(64) float side[kDepth][kQuantizeLanes] = {};
  for (int g = 0; g < count; ++g) {
    for (int i = 0; i < kDepth; ++i) side[i][g] = x[g * kDepth + i];
  }
  for (int i = 0; i < kDepth; ++i) out[i] = load_lanes(side[i]);
}

// The first `count` groups of what x points to; the others are zeros.
template <int kDepth, int kPer>
QK_INLINE void load_groups(const float* x, const float* importance, int count,
                           Groups<kDepth>* groups) {
  transpose<kDepth>(x, count, groups->x);
  if (importance != nullptr) {
    transpose<kDepth>(importance, count, groups->w);
  } else {
    for (Lanes& factors : groups->w) factors = 1.0f;
  }
  Lanes largest(0.0f);
  for (const Lanes& weights : groups->x) largest = max_lanes(largest, magnitude(weights));
  groups->power = power_of_two_of(most_of_superblocks<kPer>(largest));
  const Lanes inverse = 1.0f / groups->power;
  for (Lanes& weights : groups->x) weights *= inverse;
}

// Scales, one a superblock, as the halves that a block holds. A search may ask for more than the
// weights need: what is past the halves becomes the largest of them, and `past` says of which
// lanes.
struct HalfScales {
  U16 halves[kQuantizeLanes];  // of the superblock that each lane belongs to
  Lanes values;                // the same as floats, over the power
  uint32_t past;
};

// The half nearest to a scale, the largest one where that is infinite. The scale of a superblock is
// not zero unless it was: fewer steps of the least half come nearer to small weights.
template <int kPer>
QK_INLINE bool store_scale_or_end(float scale, U16& half) {
  const bool fits = store_scale(scale, half);
  if (!fits) store_scale(__builtin_copysignf(kLargestHalf, scale), half);
  if (kPer > 1 && (half.get() & 0x7fff) == 0 && scale != 0.0f) {
    half.set(static_cast<uint16_t>(half.get() | 1));
  }
  return fits;
}

template <int kPer>
QK_INLINE HalfScales to_half_scales(const Lanes& scales, const Lanes& power) {
  constexpr uint32_t kAll = (1u << (kPer - 1)) * 2 - 1;
  HalfScales result;
  result.past = 0;
  float values[kQuantizeLanes];
  for (int first = 0; first < kQuantizeLanes; first += kPer) {
    if (!store_scale_or_end<kPer>(scales[first] * power[first], result.halves[first])) {
      result.past |= kAll << first;
    }
    const float value = half_to_float(result.halves[first].get()) / power[first];
    for (int g = first; g < first + kPer; ++g) {
      result.halves[g] = result.halves[first];
      values[g] = value;
    }
  }
  result.values = load_lanes(values);
  return result;
}

// The least and the largest weight of each group, counted with zero.
struct Ranges {
  Lanes low{};
  Lanes high{};
};

template <int kDepth>
QK_INLINE Ranges ranges_of(const Groups<kDepth>& groups) {
  Ranges found;
  for (const Lanes& x : groups.x) {
    found.low = min_lanes(found.low, x);
    found.high = max_lanes(found.high, x);
  }
  return found;
}

// Whether half scales below infinity reach `sizes`, which are over the power, in `steps` steps.
QK_INLINE bool halves_reach(const Lanes& sizes, const Lanes& power, float steps) {
  const Lanes rest = kPastHalves - sizes / steps * power;
  return least_of(rest) > 0.0f;
}

}  // namespace
}  // namespace qk::QK_ISA
