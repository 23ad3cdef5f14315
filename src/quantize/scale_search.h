// The scale of a group without a min: weight = scale * number, the numbers of a Code.
//
// For given numbers q the best scale is sum(w x q) / sum(w q^2), and what it takes off the squared
// error is sum(w x q)^2 / sum(w q^2). Numbers come from dividing by a scale, so the search tries
// scales that bring the largest weight to, before or behind either end of the numbers, fits each,
// and then takes the nearest numbers for what it found, as k-means does.
#pragma once

#include "quantize/codes.h"
#include "quantize/groups.h"

namespace qk::QK_ISA {
namespace {

struct ScaleFit {
  Lanes scale;
  Lanes gain;  // what it takes off the squared error
};

// The best scale for the numbers that are nearest to x * inverse.
template <class Code, int kDepth>
QK_INLINE ScaleFit fit_scale(const Groups<kDepth>& groups, Lanes inverse) {
  Lanes xq{};
  Lanes qq{};
  for (int i = 0; i < kDepth; ++i) {
    const Lanes number = Code::nearest(groups.x[i] * inverse);
    const Lanes weighted = groups.w[i] * number;
    xq += weighted * groups.x[i];
    qq += weighted * number;
  }
  const Lanes scale = xq * inverse_or_0(qq);
  return {scale, scale * xq};
}

template <int kDepth>
QK_INLINE Lanes signed_largest_of(const Groups<kDepth>& groups) {
  Lanes largest{};
  for (const Lanes& x : groups.x) largest = select(magnitude(x) > magnitude(largest), x, largest);
  return largest;
}

QK_INLINE void keep_better(const ScaleFit& found, ScaleFit* best) {
  const LaneInts better = found.gain > best->gain;
  best->scale = select(better, found.scale, best->scale);
  best->gain = select(better, found.gain, best->gain);
}

// The best of kTries scales for each end of the numbers, `first` and up by `step` times that end.
template <class Code, int kTries, int kDepth>
QK_INLINE Lanes best_scale(const Groups<kDepth>& groups, float first, float step) {
  const Lanes inverse = inverse_or_0(signed_largest_of(groups));
  ScaleFit best{Lanes{}, Lanes(-1.0f)};
  for (int i = 0; i < kTries; ++i) {
    const float reach = first + step * static_cast<float>(i);
    keep_better(fit_scale<Code>(groups, reach * Code::kLeast * inverse), &best);
    keep_better(fit_scale<Code>(groups, reach * Code::kMost * inverse), &best);
  }
  for (int i = 0; i < 2; ++i) {
    keep_better(fit_scale<Code>(groups, inverse_or_0(best.scale)), &best);
  }
  return best.scale;
}

// The squared error of a scale.
template <class Code, int kDepth>
QK_INLINE Lanes error_of_scale(const Groups<kDepth>& groups, Lanes scale) {
  const Lanes inverse = inverse_or_0(scale);
  Lanes error{};
  for (int i = 0; i < kDepth; ++i) {
    const Lanes rest = groups.x[i] - scale * Code::nearest(groups.x[i] * inverse);
    error += groups.w[i] * rest * rest;
  }
  return error;
}

// The quants of every group for these scales, in the order of the weights.
template <class Code, int kDepth>
QK_INLINE void take_quants(const Groups<kDepth>& groups, Lanes scale, uint8_t* quants) {
  const Lanes inverse = inverse_or_0(scale);
  for (int i = 0; i < kDepth; ++i) {
    int32_t found[kQuantizeLanes];
    store_lanes(Code::quants(groups.x[i] * inverse), found);
    for (int g = 0; g < kQuantizeLanes; ++g) {
      quants[g * kDepth + i] = static_cast<uint8_t>(found[g]);
    }
  }
}

// Whether so many steps of a half reach every weight.
template <int kDepth>
QK_INLINE bool are_in_reach(const Groups<kDepth>& groups, float steps) {
  return halves_reach(magnitude(signed_largest_of(groups)), groups.power, steps);
}

// Scales of groups as whole numbers of kLeast..kMost times a half that their superblock shares.
struct SharedScales {
  HalfScales d;
  Lanes numbers;
  bool fit;  // the largest weights are within their reach
};

// Of each group the number below or above its scale's that leaves the least error.
template <class Code, int kLeast, int kMost, int kDepth>
QK_INLINE Lanes best_numbers(const Groups<kDepth>& groups, Lanes scale, Lanes d) {
  const Lanes exact = scale * inverse_or_0(d);
  const Lanes near = WholeNumbers<kLeast, kMost>::nearest(exact);
  const Lanes other = near + select(exact > near, Lanes(1.0f), Lanes(-1.0f));
  const Lanes number = WholeNumbers<kLeast, kMost>::nearest(other);
  const LaneInts better =
      error_of_scale<Code>(groups, number * d) < error_of_scale<Code>(groups, near * d);
  return select(better, number, near);
}

// The best d for these numbers of scales and the quants that follow from them.
template <class Code, int kPer, int kDepth>
QK_INLINE Lanes fit_shared(const Groups<kDepth>& groups, const SharedScales& now) {
  const Lanes inverse = inverse_or_0(now.numbers * now.d.values);
  Lanes xq{};
  Lanes qq{};
  for (int i = 0; i < kDepth; ++i) {
    const Lanes number = now.numbers * Code::nearest(groups.x[i] * inverse);
    const Lanes weighted = groups.w[i] * number;
    xq += weighted * groups.x[i];
    qq += weighted * number;
  }
  const Lanes d = sum_of_superblocks<kPer>(xq) * inverse_or_0(sum_of_superblocks<kPer>(qq));
  return select(magnitude(d) > 0.0f, d, now.d.values);
}

// Scales for groups whose best ones are `scale`, after `kRounds` of fitting numbers and d in turn.
template <class Code, int kPer, int kLeast, int kMost, int kRounds, int kDepth>
QK_INLINE SharedScales share_scales(const Groups<kDepth>& groups, Lanes scale) {
  SharedScales found;
  uint32_t past = 0;
  Lanes d = signed_most_of_superblocks<kPer>(scale) / static_cast<float>(kLeast);
  for (int round = 0; round < kRounds; ++round) {
    found.d = to_half_scales<kPer>(d, groups.power);
    past |= found.d.past;
    found.numbers = best_numbers<Code, kLeast, kMost>(groups, scale, found.d.values);
    if (round + 1 < kRounds) d = fit_shared<Code, kPer>(groups, found);
  }
  found.fit = past == 0 || are_in_reach(groups, static_cast<float>(kLeast) * Code::kLeast);
  return found;
}

}  // namespace
}  // namespace qk::QK_ISA
