// Matrix products in panels (formats/panel.h): a vector's lanes are rows, so that the inner step is
// one load of weights against broadcast activations, with no sum across lanes.
//
// A panel is walked block by block against kColumns batch rows at once. In each group of weights
// that share a scale, exact integer sums become floats and meet the scales; mins meet the
// activations' group sums. A row's arithmetic depends on that row alone, in a fixed order.
#pragma once

#include "formats/panel.h"
#include "kernels/activation_unit.h"
#include "kernels/batch.h"
#include "kernels/table.h"

namespace qk::QK_ISA {
namespace {

template <class I, int kColumns>
struct PanelSums {
  typename I::Floats products[kColumns];
  typename I::Floats mins[kColumns];

  QK_INLINE void clear() {
    for (int j = 0; j < kColumns; ++j) {
      products[j] = I::zero();
      mins[j] = I::zero();
    }
  }
};

// -bias * (sum of the activations of the kGroup values from `at` on), in int32: 128 * 32 * 32639.
template <class F, int kPlanes>
QK_INLINE int32_t minus_bias_of(const IntegerUnit<kPlanes>& unit, int at) {
  int32_t sum = 0;
  if constexpr (F::kGroup >= 16) {
    for (int i = 0; i < F::kGroup / 16; ++i) sum += unit.sums16[at / 16 + i];
  } else {
    for (int i = 0; i < F::kGroup / 4; ++i) sum += unit.sums4[at / 4 + i];
  }
  return -F::kBias * sum;
}

// Group g of a block against integer activations; `first` is the block's first value in the unit.
template <class F, class I, int kPlanes, int kColumns>
QK_INLINE void add_group_integer(PanelBlock<I> block, int g, int first,
                                 const IntegerUnit<kPlanes>* const (&x)[kColumns],
                                 PanelSums<I, kColumns>& sums) {
  const int at = first + F::kGroup * g;
  typename I::template PanelSum<kPlanes> group[kColumns];
  for (int j = 0; j < kColumns; ++j) {
    group[j] = I::template panel_start<F, kPlanes>(F::kBias == 0 ? 0 : minus_bias_of<F>(*x[j], at));
  }
  constexpr int kQuads = F::kGroup / 4;
  QK_UNROLL(8)
  for (int q = 0; q < kQuads; ++q) {
    const typename I::Words quants = F::template panel_quants<I>(block, kQuads * g + q);
    for (int j = 0; j < kColumns; ++j) {
      I::template panel_add<F>(group[j], quants, x[j]->planes, at / 4, q);
    }
  }
  const typename I::Floats scale = F::template panel_scale<I>(block, g);
  for (int j = 0; j < kColumns; ++j) {
    const auto total = I::floats_of(I::template panel_total<F, kPlanes>(group[j]));
    const auto x_scale = I::broadcast(x[j]->scale[at / kActivationGroup]);
    sums.products[j] = I::fma(total, I::fmul(scale, x_scale), sums.products[j]);
  }
}

// The same against float activations.
template <class F, class I, int kColumns>
QK_INLINE void add_group_float(PanelBlock<I> block, int g, int first,
                               const FloatUnit* const (&x)[kColumns],
                               PanelSums<I, kColumns>& sums) {
  const int at = first + F::kGroup * g;
  typename I::Floats group[kColumns];
  for (int j = 0; j < kColumns; ++j) group[j] = I::zero();
  constexpr int kQuads = F::kGroup / 4;
  QK_UNROLL(8)
  for (int q = 0; q < kQuads; ++q) {
    const auto quants = F::template panel_quants<I>(block, kQuads * g + q);
    const auto centred = I::template centre_bytes<F::kBias>(quants);
    for (int i = 0; i < 4; ++i) {
      const auto weight = I::floats_of(I::signed_byte(centred, i));
      for (int j = 0; j < kColumns; ++j) {
        group[j] = I::fma(weight, I::broadcast(x[j]->x[at + 4 * q + i]), group[j]);
      }
    }
  }
  const typename I::Floats scale = F::template panel_scale<I>(block, g);
  for (int j = 0; j < kColumns; ++j) sums.products[j] = I::fma(group[j], scale, sums.products[j]);
}

template <class F, class I, class AnyUnit, int kColumns>
QK_INLINE void add_groups(PanelBlock<I> block, int first, const AnyUnit* const (&x)[kColumns],
                          PanelSums<I, kColumns>& sums) {
  constexpr int kGroups = F::kInfo.block / F::kGroup;
  const auto add = [&](int g) __attribute__((always_inline)) {
    if constexpr (__is_same(AnyUnit, FloatUnit)) {
      add_group_float<F, I>(block, g, first, x, sums);
    } else {
      add_group_integer<F, I>(block, g, first, x, sums);
    }
  };
  if constexpr (kColumns == 1 && !__is_same(AnyUnit, FloatUnit)) {
    QK_UNROLL(32)
    for (int g = 0; g < kGroups; ++g) add(g);
  } else {
    // 32 weights at a time, so that a quad's place in its bundle is a constant.
    constexpr int kAtOnce = F::kGroup < 32 ? 32 / F::kGroup : 1;
    for (int some = 0; some < kGroups / kAtOnce; ++some) {
      QK_UNROLL(4)
      for (int i = 0; i < kAtOnce; ++i) add(kAtOnce * some + i);
    }
  }
  if constexpr (F::kHasMin) {
    constexpr int kMins = F::kInfo.block / F::kMinGroup;
    for (int g = 0; g < kMins; ++g) {
      const typename I::Floats min = F::template panel_min<I>(block, g);
      for (int j = 0; j < kColumns; ++j) {
        const float* x_sums = F::kMinGroup == 16 ? x[j]->sum16 : x[j]->sum;
        const auto x_sum = I::broadcast(x_sums[first / F::kMinGroup + g]);
        sums.mins[j] = I::fma(min, x_sum, sums.mins[j]);
      }
    }
  }
}

// One block of quantised weights, whose first value is the `first` of the activations' unit.
template <class F, class I, class AnyUnit, int kColumns>
QK_INLINE void add_panel_block(PanelBlock<I> block, int first, const AnyUnit* const (&x)[kColumns],
                               PanelSums<I, kColumns>& sums) {
  if constexpr (requires { F::template panel_d<I>(block); }) {
    PanelSums<I, kColumns> block_sums;
    block_sums.clear();
    add_groups<F, I>(block, first, x, block_sums);
    const typename I::Floats d = F::template panel_d<I>(block);
    for (int j = 0; j < kColumns; ++j) {
      sums.products[j] = I::fma(block_sums.products[j], d, sums.products[j]);
    }
    if constexpr (F::kHasMin) {
      const typename I::Floats dmin = F::template panel_dmin<I>(block);
      for (int j = 0; j < kColumns; ++j) {
        sums.mins[j] = I::fma(block_sums.mins[j], dmin, sums.mins[j]);
      }
    }
  } else {
    add_groups<F, I>(block, first, x, sums);
  }
}

// Float weights, one of each row at a time: `count` of them against one unit, in four chains so
// that additions do not wait.
template <class F, class I, int kColumns>
QK_INLINE void add_panel_floats(const uint8_t* weights, int count,
                                const FloatUnit* const (&x)[kColumns],
                                PanelSums<I, kColumns>& sums) {
  constexpr int kChains = 4;
  constexpr int kBytes = I::kLanes * F::kInfo.bytes;
  typename I::Floats chains[kChains][kColumns];
  for (auto& chain : chains) {
    for (int j = 0; j < kColumns; ++j) chain[j] = I::zero();
  }
  const auto add = [&](int chain, int i) __attribute__((always_inline)) {
    const auto weight = F::template panel_floats<I>(PanelBlock<I>(weights + kBytes * i));
    for (int j = 0; j < kColumns; ++j) {
      chains[chain][j] = I::fma(weight, I::broadcast(x[j]->x[i]), chains[chain][j]);
    }
  };
  int i = 0;
  for (; i + kChains <= count; i += kChains) {
    for (int c = 0; c < kChains; ++c) add(c, i + c);
  }
  for (; i < count; ++i) add(0, i);
  for (int j = 0; j < kColumns; ++j) {
    const auto total =
        I::add(I::add(chains[0][j], chains[1][j]), I::add(chains[2][j], chains[3][j]));
    sums.products[j] = I::add(sums.products[j], total);
  }
}

template <class F, class I, Act A, int kColumns>
QK_INLINE void add_panel(const LinearArgs& args, const uint8_t* panel,
                         const Unit<A>* (&x)[kColumns], PanelSums<I, kColumns>& sums) {
  constexpr int kBlockBytes = I::kLanes * panel_block_bytes<F>();
  constexpr int kBlocksPerUnit = kUnit / F::kInfo.block;
  for (int64_t b = 0; b < args.blocks; b += kBlocksPerUnit) {
    const auto left =
        static_cast<int>(args.blocks - b < kBlocksPerUnit ? args.blocks - b : kBlocksPerUnit);
    const uint8_t* unit = panel + b * kBlockBytes;
    if constexpr (F::kFloat) {
      add_panel_floats<F, I>(unit, left, x, sums);
    } else {
      for (int i = 0; i < left; ++i) {
        const PanelBlock<I> block(unit + i * kBlockBytes);
        add_panel_block<F, I>(block, i * F::kInfo.block, x, sums);
      }
    }
    for (int j = 0; j < kColumns; ++j) ++x[j];
  }
}

// What a panel takes (kernels/batch.h).
template <class F, class I, Act A>
struct PanelProduct {
  // int16 has two sums a batch row, and gains nothing from more of them.
  static constexpr int kColumns = A == Act::kInt8 ? I::kPanelColumns : 4;

  template <int C>
  static void run(const LinearArgs& args, int64_t panel, Columns columns) {
    const Unit<A>* x[C];
    first_units<A>(args, columns, x);
    PanelSums<I, C> sums;
    sums.clear();
    add_panel<F, I, A>(args, args.weights + panel * args.row_stride, x, sums);
    const int64_t row = panel * I::kLanes;
    const int64_t rows = args.n - row < I::kLanes ? args.n - row : I::kLanes;
    for (int j = 0; j < columns.count; ++j) {
      const int64_t column = columns.first + j;
      alignas(64) float results[I::kLanes];
      const auto scale = I::broadcast(args.row_scales[column]);
      I::store(results, I::fmul(I::add(sums.products[j], sums.mins[j]), scale));
      float* out = args.out + column * args.out_stride + row;
      const float* bias =
          args.bias != nullptr ? args.bias + column * args.bias_stride + row : nullptr;
      for (int64_t r = 0; r < rows; ++r) {
        out[r] = results[r] + (bias != nullptr ? bias[r] : 0.0f);
      }
    }
  }
};

}  // namespace
}  // namespace qk::QK_ISA
