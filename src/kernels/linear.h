// Matrix products in the native layout: the one source of gemv and gemm for every format and ISA.
//
// A row is walked in units of 256 weights against kColumns batch rows at once. In each unit
//   1. the groups' scales are decoded and multiplied by the activations' scales, eight at a time;
//   2. each step of I::kStep quants is loaded once and multiplied, in integers, by every column;
//   3. the exact integer sums are converted and accumulated in float lanes.
// A stored quant is unsigned, `bias` above the true one: what that adds is taken off every lane of
// the integer sum, exactly. Mins meet the activations' group sums, one fused
// multiply-add a unit.
//
// Every row's arithmetic depends on that row alone, in a fixed order: results are bitwise
// independent of how rows are split over threads and calls.
#pragma once

#include "kernels/activation_unit.h"
#include "kernels/batch.h"
#include "kernels/table.h"

namespace qk::QK_ISA {
namespace {

// The sums of one row against kColumns batch rows.
template <class I, int kColumns>
struct RowSums {
  typename I::Floats lanes[kColumns];
  typename I::F8 mins[kColumns];

  QK_INLINE void clear() {
    for (int j = 0; j < kColumns; ++j) {
      lanes[j] = I::zero();
      mins[j] = I::broadcast8(0.0f);
    }
  }
  QK_INLINE float total(int j) const { return I::sum(lanes[j]) + I::sum8(mins[j]); }
};

template <class F, class I, Act A>
QK_INLINE typename I::Ints integer_dot(typename I::Quants quants, const Unit<A>& unit, int step) {
  // |sum over 32| <= 255 * 32639 * 32 = 2.7e8, and the bias term half of that: both fit int32.
  if constexpr (A == Act::kInt16) {
    return I::template dot_int16<F>(quants, unit.planes, unit.sums4, step);
  } else {
    return I::template dot_int8<F>(quants, unit.planes, unit.sums4, step);
  }
}

// What the mins contribute: one fused multiply-add for eight of them.
template <class F, class I, class AnyUnit>
QK_INLINE typename I::F8 add_mins(const PerGroup<I, F::kMinGroup>& min, const AnyUnit& x,
                                  typename I::F8 sum) {
  const float* x_sums = F::kMinGroup == 16 ? x.sum16 : x.sum;
  for (int i = 0; i < min.kVectors; ++i) sum = I::fma8(min.v[i], I::load8(x_sums + 8 * i), sum);
  return sum;
}

// body(step) for the steps of a unit; those of a whole one are unrolled, with a constant step each.
template <class I, class Body>
QK_INLINE void for_steps(int steps, Body body) {
  constexpr int kSteps = kUnit / I::kStep;
  if (steps == kSteps) {
    QK_UNROLL(8)
    for (int step = 0; step < kSteps; ++step) body(step);
  } else {
    for (int step = 0; step < steps; ++step) body(step);
  }
}

// Quantised weights, integer activations.
template <class F, class I, Act A, int kColumns>
QK_INLINE void add_unit_integer(const typename F::Block* weights, int steps,
                                const Unit<A>* const (&x)[kColumns], RowSums<I, kColumns>& sums) {
  constexpr int kRepeat = kActivationGroup / F::kGroup;
  PerGroup<I, F::kGroup> scale;
  PerGroup<I, F::kMinGroup> min;
  F::template scales<I>(weights, scale, min);
  alignas(64) float scales[kColumns][kUnit / F::kGroup];
  for (int j = 0; j < kColumns; ++j) {
    for (int i = 0; i < scale.kVectors; ++i) {
      const typename I::F8 x_scale = I::template repeat8<kRepeat>(x[j]->scale + 8 / kRepeat * i);
      I::store8(scales[j] + 8 * i, I::mul8(scale.v[i], x_scale));
    }
    if constexpr (F::kHasMin) sums.mins[j] = add_mins<F, I>(min, *x[j], sums.mins[j]);
  }
  for_steps<I>(steps, [&](int step) __attribute__((always_inline)) {
    const typename I::Quants quants = F::template quants<I>(weights, step);
    for (int j = 0; j < kColumns; ++j) {
      const typename I::Ints dot = integer_dot<F, I, A>(quants, *x[j], step);
      const typename I::Floats spread = I::template spread<F::kGroup>(scales[j], step);
      sums.lanes[j] = I::fma(I::to_floats(dot), spread, sums.lanes[j]);
    }
  });
}

// Quantised weights, float activations.
template <class F, class I, int kColumns>
QK_INLINE void add_unit_float(const typename F::Block* weights, int steps,
                              const FloatUnit* const (&x)[kColumns], RowSums<I, kColumns>& sums) {
  constexpr int kVectors = I::kStep / I::kLanes;
  PerGroup<I, F::kGroup> scale;
  PerGroup<I, F::kMinGroup> min;
  F::template scales<I>(weights, scale, min);
  alignas(64) float scales[kUnit / F::kGroup];
  for (int i = 0; i < scale.kVectors; ++i) I::store8(scales + 8 * i, scale.v[i]);
  if constexpr (F::kHasMin) {
    for (int j = 0; j < kColumns; ++j) sums.mins[j] = add_mins<F, I>(min, *x[j], sums.mins[j]);
  }
  // Two chains of sums, so that additions do not wait for one another.
  typename I::Floats second[kColumns];
  for (int j = 0; j < kColumns; ++j) second[j] = I::zero();
  for_steps<I>(steps, [&](int step) __attribute__((always_inline)) {
    const typename I::Quants quants = F::template quants<I>(weights, step);
    for (int v = 0; v < kVectors; ++v) {
      const int at = step * I::kStep + v * I::kLanes;
      const typename I::Floats weight = I::fmul(I::template quant_floats<F::kBias>(quants, v),
                                                I::template spread_floats<F::kGroup>(scales, at));
      for (int j = 0; j < kColumns; ++j) {
        auto& sum = v % 2 == 0 ? sums.lanes[j] : second[j];
        sum = I::fma(weight, I::load(x[j]->x + at), sum);
      }
    }
  });
  for (int j = 0; j < kColumns; ++j) sums.lanes[j] = I::add(sums.lanes[j], second[j]);
}

// Float weights: `steps` native vectors, in four chains so that additions do not wait.
template <class F, class I, int kColumns>
QK_INLINE void add_unit_plain(const typename F::Block* weights, int steps,
                              const FloatUnit* const (&x)[kColumns], RowSums<I, kColumns>& sums) {
  constexpr int kChains = 4;
  typename I::Floats chains[kChains][kColumns];
  for (int c = 0; c < kChains; ++c) {
    for (int j = 0; j < kColumns; ++j) chains[c][j] = c == 0 ? sums.lanes[j] : I::zero();
  }
  for (int v = 0; v < steps; v += kChains) {
    for (int c = 0; c < kChains; ++c) {
      const typename I::Floats weight = F::template floats<I>(weights, v + c);
      for (int j = 0; j < kColumns; ++j) {
        chains[c][j] = I::fma(weight, I::load(x[j]->x + (v + c) * I::kLanes), chains[c][j]);
      }
    }
  }
  for (int j = 0; j < kColumns; ++j) {
    sums.lanes[j] = I::add(I::add(chains[0][j], chains[1][j]), I::add(chains[2][j], chains[3][j]));
  }
}

// One unit; `weights` holds a whole one, of which the first `count` weights matter.
template <class F, class I, Act A, int kColumns>
QK_INLINE void add_unit(const typename F::Block* weights, int count,
                        const Unit<A>* const (&x)[kColumns], RowSums<I, kColumns>& sums) {
  if constexpr (F::kFloat) {
    constexpr int kGrain = 4 * I::kLanes;
    add_unit_plain<F, I, kColumns>(weights, (count + kGrain - 1) / kGrain * 4, x, sums);
  } else if constexpr (A == Act::kFloat32) {
    add_unit_float<F, I, kColumns>(weights, (count + I::kStep - 1) / I::kStep, x, sums);
  } else {
    add_unit_integer<F, I, A, kColumns>(weights, (count + I::kStep - 1) / I::kStep, x, sums);
  }
}

// What a row takes (kernels/batch.h).
template <class F, class I, Act A>
struct RowProduct {
  static constexpr int kColumns = 4;

  template <int C>
  static void run(const LinearArgs& args, int64_t row, Columns columns) {
    constexpr int kBlocks = kUnit / F::kInfo.block;
    const auto* weights =
        reinterpret_cast<const typename F::Block*>(args.weights + row * args.row_stride);
    const Unit<A>* x[C];
    first_units<A>(args, columns, x);
    RowSums<I, C> sums;
    sums.clear();
    const int64_t whole = args.blocks / kBlocks;
    for (int64_t u = 0; u < whole; ++u) {
      add_unit<F, I, A, C>(weights + u * kBlocks, kUnit, x, sums);
      for (int j = 0; j < C; ++j) ++x[j];
    }
    // A last unit that the row fills in part is completed with blocks of zeros: nothing past the
    // row is read, and zero weights meet zero activations.
    if (const int rest = static_cast<int>(args.blocks % kBlocks); rest != 0) {
      typename F::Block last[kBlocks] = {};
      __builtin_memcpy(last, weights + whole * kBlocks,
                       sizeof(last[0]) * static_cast<size_t>(rest));
      add_unit<F, I, A, C>(last, rest * F::kInfo.block, x, sums);
    }
    for (int j = 0; j < columns.count; ++j) {
      const int64_t column = columns.first + j;
      const float bias = args.bias != nullptr ? args.bias[column * args.bias_stride + row] : 0.0f;
      args.out[column * args.out_stride + row] = sums.total(j) * args.row_scales[column] + bias;
    }
  }
};

}  // namespace
}  // namespace qk::QK_ISA
