// The scale and min of a group: weight = scale * quant + min, quants 0..kMost.
//
// For given quants, scale and min are a straight line through the points (quant, weight), fitted by
// weighted least squares. The search tries steps around those that divide the range of weights
// evenly, fits each, and then takes the nearest quants for what it found, as k-means does. Weights
// count from their least one, so that a range far from zero costs no digits.
#pragma once

#include "quantize/codes.h"
#include "quantize/groups.h"

namespace qk::QK_ISA {
namespace {

struct LineFit {
  Lanes scale;
  Lanes min;
  Lanes error;
};

// What all fits to the same groups share.
template <int kDepth>
struct LineProblem {
  const Groups<kDepth>& groups;
  Lanes low;      // what weights count from
  Lanes range;    // from there to the largest
  Lanes ceiling;  // what a min, counted from `low`, cannot pass
  Lanes w{};      // sums over the group
  Lanes wx{};
  Lanes wxx{};
};

// K-quants have mins of 0 and below (kBelowZero).
template <bool kBelowZero, int kDepth>
QK_INLINE LineProblem<kDepth> pose_line(const Groups<kDepth>& groups) {
  LineProblem<kDepth> problem{groups, groups.x[0], groups.x[0], Lanes(0x1p10f)};
  Lanes high = groups.x[0];
  for (const Lanes& x : groups.x) {
    problem.low = min_lanes(problem.low, x);
    high = max_lanes(high, x);
  }
  if constexpr (kBelowZero) {
    problem.low = min_lanes(problem.low, Lanes{});
    problem.ceiling = -problem.low;
  }
  problem.range = high - problem.low;
  for (int i = 0; i < kDepth; ++i) {
    const Lanes x = groups.x[i] - problem.low;
    problem.w += groups.w[i];
    problem.wx += groups.w[i] * x;
    problem.wxx += groups.w[i] * x * x;
  }
  return problem;
}

// The line through the quants that are nearest to (x - low - min) * inverse.
template <int kMost, int kDepth>
QK_INLINE LineFit fit_line(const LineProblem<kDepth>& problem, Lanes inverse, Lanes min) {
  Lanes wq{};
  Lanes wqq{};
  Lanes wxq{};
  const Lanes origin = problem.low + min;
  for (int i = 0; i < kDepth; ++i) {
    const Lanes x = problem.groups.x[i];
    const Lanes quant = WholeNumbers<0, kMost>::nearest((x - origin) * inverse);
    const Lanes weighted = problem.groups.w[i] * quant;
    wq += weighted;
    wqq += weighted * quant;
    wxq += weighted * (x - problem.low);
  }
  const Lanes determinant = problem.w * wqq - wq * wq;
  const LaneInts sound = determinant > 1e-6f * problem.w * wqq;  // quants that differ
  const Lanes over = inverse_or_0(determinant);
  LineFit fit;
  fit.min = (wqq * problem.wx - wq * wxq) * over;
  fit.min = min_lanes(fit.min, problem.ceiling);
  fit.scale = max_lanes((wxq - fit.min * wq) * inverse_or_0(wqq), Lanes{});
  const Lanes line = fit.scale * (fit.scale * wqq + 2.0f * (fit.min * wq - wxq));
  fit.error = problem.wxx + line + fit.min * (fit.min * problem.w - 2.0f * problem.wx);
  fit.error = select(sound, fit.error, Lanes(__builtin_inff()));
  return fit;
}

QK_INLINE void keep_better(const LineFit& found, LineFit* best) {
  const LaneInts better = found.error < best->error;
  best->scale = select(better, found.scale, best->scale);
  best->min = select(better, found.min, best->min);
  best->error = select(better, found.error, best->error);
}

// The best of kTries steps, of which the range has kMost + first and more by `step`; the min is
// counted from zero.
template <int kMost, int kTries, bool kBelowZero, int kDepth>
QK_INLINE LineFit best_line(const Groups<kDepth>& groups, float first, float step) {
  const auto problem = pose_line<kBelowZero>(groups);
  const Lanes inverse = inverse_or_0(problem.range);
  // The evenly divided range, in case all quants are the same.
  LineFit best{problem.range / static_cast<float>(kMost), Lanes{}, Lanes(0x1p100f)};
  for (int i = 0; i < kTries; ++i) {
    const float steps = static_cast<float>(kMost) + first + step * static_cast<float>(i);
    keep_better(fit_line<kMost>(problem, steps * inverse, Lanes{}), &best);
  }
  for (int i = 0; i < 2; ++i) {
    keep_better(fit_line<kMost>(problem, inverse_or_0(best.scale), best.min), &best);
  }
  best.min += problem.low;
  return best;
}

// The quants of every group for these lines, in the order of the weights.
template <int kMost, int kDepth>
QK_INLINE void take_line_quants(const Groups<kDepth>& groups, Lanes scale, Lanes off,
                                uint8_t* quants) {
  const Lanes inverse = inverse_or_0(scale);
  for (int i = 0; i < kDepth; ++i) {
    int32_t found[kQuantizeLanes];
    store_lanes(WholeNumbers<0, kMost>::quants((groups.x[i] + off) * inverse), found);
    for (int g = 0; g < kQuantizeLanes; ++g) {
      quants[g * kDepth + i] = static_cast<uint8_t>(found[g]);
    }
  }
}

// Scales and mins of groups as whole numbers of 0.. times halves that their superblock shares; mins
// are taken off.
struct SharedLines {
  HalfScales d;
  HalfScales dmin;
  Lanes scales;
  Lanes mins;
  bool fit;  // the largest and the least weights are within their reach
};

// The squared error of a scale and of what is taken off.
template <int kMost, int kDepth>
QK_INLINE Lanes error_of_line(const Groups<kDepth>& groups, Lanes scale, Lanes off) {
  const Lanes inverse = inverse_or_0(scale);
  Lanes error{};
  for (int i = 0; i < kDepth; ++i) {
    const Lanes shifted = groups.x[i] + off;
    const Lanes rest = shifted - scale * WholeNumbers<0, kMost>::nearest(shifted * inverse);
    error += groups.w[i] * rest * rest;
  }
  return error;
}

// Of each group the whole numbers around those of its line that leave the least error.
template <int kMost, int kMostScale, int kDepth>
QK_INLINE void choose_numbers(const Groups<kDepth>& groups, const LineFit& line,
                              SharedLines* shared) {
  using Numbers = WholeNumbers<0, kMostScale>;
  const Lanes scale = Numbers::nearest(line.scale * inverse_or_0(shared->d.values));
  const Lanes min = Numbers::nearest(-line.min * inverse_or_0(shared->dmin.values));
  Lanes least(__builtin_inff());
  for (int i = 0; i < 9; ++i) {
    const int of_min = i / 3 - 1;
    const int of_scale = i % 3 - 1;
    const Lanes scale_try = Numbers::nearest(scale + static_cast<float>(of_scale));
    const Lanes min_try = Numbers::nearest(min + static_cast<float>(of_min));
    const Lanes error =
        error_of_line<kMost>(groups, scale_try * shared->d.values, min_try * shared->dmin.values);
    const LaneInts better = error < least;
    shared->scales = select(better, scale_try, shared->scales);
    shared->mins = select(better, min_try, shared->mins);
    least = select(better, error, least);
  }
}

// The best d and dmin for these numbers and the quants that follow from them: least squares again,
// of x = d * (scale * quant) - dmin * min over a superblock.
template <int kMost, int kPer, int kDepth>
QK_INLINE void fit_shared(const Groups<kDepth>& groups, const SharedLines& now, Lanes* d,
                          Lanes* dmin) {
  const Lanes inverse = inverse_or_0(now.scales * now.d.values);
  const Lanes off = now.mins * now.dmin.values;
  Lanes aa{};
  Lanes ab{};
  Lanes bb{};
  Lanes xa{};
  Lanes xb{};
  for (int i = 0; i < kDepth; ++i) {
    const Lanes x = groups.x[i];
    const Lanes a = now.scales * WholeNumbers<0, kMost>::nearest((x + off) * inverse);
    const Lanes wa = groups.w[i] * a;
    const Lanes wb = groups.w[i] * now.mins;
    aa += wa * a;
    ab += wa * now.mins;
    bb += wb * now.mins;
    xa += wa * x;
    xb += wb * x;
  }
  aa = sum_of_superblocks<kPer>(aa);
  ab = sum_of_superblocks<kPer>(ab);
  bb = sum_of_superblocks<kPer>(bb);
  xa = sum_of_superblocks<kPer>(xa);
  xb = sum_of_superblocks<kPer>(xb);
  const Lanes determinant = aa * bb - ab * ab;
  const Lanes over = inverse_or_0(determinant);
  const Lanes new_d = (xa * bb - xb * ab) * over;
  const Lanes new_dmin = (xa * ab - xb * aa) * over;
  const LaneInts sound = (determinant > 1e-6f * aa * bb) & (new_d > 0.0f) & (new_dmin > 0.0f);
  const Lanes without_mins = select(aa > 0.0f, xa * inverse_or_0(aa), now.d.values);
  *d = select(sound, new_d, select(bb > 0.0f, now.d.values, without_mins));
  *dmin = select(sound, new_dmin, now.dmin.values);
}

// Scales and mins for groups whose best lines are `line`, after `kRounds` of fitting numbers and
// halves in turn.
template <int kMost, int kPer, int kMostScale, int kRounds, int kDepth>
QK_INLINE SharedLines share_lines(const Groups<kDepth>& groups, const LineFit& line) {
  SharedLines found{};
  uint32_t past = 0;
  Lanes d = most_of_superblocks<kPer>(line.scale) / static_cast<float>(kMostScale);
  Lanes dmin = most_of_superblocks<kPer>(-line.min) / static_cast<float>(kMostScale);
  for (int round = 0; round < kRounds; ++round) {
    found.d = to_half_scales<kPer>(d, groups.power);
    found.dmin = to_half_scales<kPer>(dmin, groups.power);
    past |= found.d.past | found.dmin.past;
    choose_numbers<kMost, kMostScale>(groups, line, &found);
    if (round + 1 < kRounds) fit_shared<kMost, kPer>(groups, found, &d, &dmin);
  }
  found.fit = true;
  if (past != 0) {
    const Ranges ranges = ranges_of(groups);
    found.fit = halves_reach(ranges.high - ranges.low, groups.power, kMost * kMostScale) &&
                halves_reach(-ranges.low, groups.power, kMostScale);
  }
  return found;
}

}  // namespace
}  // namespace qk::QK_ISA
