// The product of quantised weights and up to eight batch rows of activations: one kernel for all
// formats, layouts and activations.
//
// A block is kWarps warps. warps_per_row of them share two rows: each lane takes slices that lie
// warps_per_row * 32 apart and multiplies both rows' with the same activations; lanes are summed by
// shuffles, warps through shared memory, always in the same order. How many warps share a row
// depends on k alone, so that a row's bits do not depend on how many rows there are. With a gate, a
// pair is a row of each of two matrices, and y = silu(gate) * up.
#pragma once

#include <cstdint>

#include "cuda/activations.h"
#include "cuda/args.h"
#include "cuda/blocks.h"
#include "cuda/device.h"
#include "cuda/dots.h"
#include "cuda/epilogue.h"
#include "cuda/slices.h"

namespace qk::cuda {

// Where a lane finds the activations of its slices: of one unit after another, from the same place.
template <class S, Act A>
struct BatchRows {
  const uint8_t* x;     // of the slice's first weight
  const float* scales;  // of its first 32, of which it may hold a half
  const float* sums16;

  QK_DEVICE BatchRows(const Unit<A>* unit, int begin) {
    if constexpr (A == Act::kFloat32) {
      x = reinterpret_cast<const uint8_t*>(unit->x + begin);
      scales = unit->sum + begin / 32;
    } else {
      x = reinterpret_cast<const uint8_t*>(unit->planes[0] + begin);
      scales = unit->scale + begin / 32;
    }
    sums16 = unit->sum16[begin / 16 % 2] + begin / 32;
  }
  QK_DEVICE void advance(int units) {
    x += units * static_cast<int>(sizeof(Unit<A>));
    scales += units * static_cast<int>(sizeof(Unit<A>) / sizeof(float));
    if constexpr (S::kMinOf16) sums16 += units * static_cast<int>(sizeof(Unit<A>) / sizeof(float));
  }

  QK_DEVICE const uint8_t* part(int batch_row, int i) const {
    constexpr int kBytes = A == Act::kFloat32 ? 4 : 1;
    return x + batch_row * sizeof(Unit<A>) + S::kStride * kBytes * i;
  }
  QK_DEVICE void load_scales(int batch_row, float (&out)[S::kGroups]) const {
    load_groups(scales, batch_row, out);
  }
  // What each group's min is multiplied by, summed over the slice's share of the group.
  QK_DEVICE void load_sums(int batch_row, float (&out)[S::kGroups]) const {
    if constexpr (S::kMinOf16) {
      load_groups(sums16, batch_row, out);
    } else {
      load_groups(scales + (A == Act::kFloat32 ? 0 : 8), batch_row, out);
    }
  }

 private:
  // One float for each group of the slice.
  QK_DEVICE static void load_groups(const float* first, int batch_row, float (&out)[S::kGroups]) {
    constexpr int kFloats = sizeof(Unit<A>) / sizeof(float);
    const float* from = first + batch_row * kFloats;
    if constexpr (S::kGroupStride == 32 && S::kGroups == 2) {
      const float2 two = *reinterpret_cast<const float2*>(from);
      out[0] = two.x;
      out[1] = two.y;
    } else if constexpr (S::kGroupStride == 32 && S::kGroups == 4) {
      const float4 four = *reinterpret_cast<const float4*>(from);
      out[0] = four.x;
      out[1] = four.y;
      out[2] = four.z;
      out[3] = four.w;
    } else {
      QK_UNROLL_ALL
      for (int g = 0; g < S::kGroups; ++g) out[g] = from[S::kGroupStride * g / 32];
    }
  }
};

// Products of the i-th 16 weights of both rows with a batch row's activations.
template <class S, Act A>
QK_DEVICE void add_part(const typename S::Held (&held)[kRows], int c, int i,
                        const uint32_t (&quads)[kRows][4], const typename Dots<A>::X& x,
                        Dots<A> (&dots)[kRows]) {
  QK_UNROLL_ALL
  for (int r = 0; r < kRows; ++r) {
    if constexpr (S::kOctets) {
      const uint32_t scales = S::octets(held[r], c, i);
      Dots<A> eights[2];
      eights[0].template add<0>(quads[r], x);
      eights[1].template add<1>(quads[r], x);
      eights[0].scale_by(static_cast<int>(scales & 255));
      eights[1].scale_by(static_cast<int>(scales >> 8));
      dots[r].add(eights[0]);
      dots[r].add(eights[1]);
    } else {
      dots[r].template add<0>(quads[r], x);
      dots[r].template add<1>(quads[r], x);
    }
  }
}

// What the batch rows multiply a slice's groups by, and what goes with the groups' mins.
template <class S, Act A, int M>
struct GroupFactors {
  float scales[M][S::kGroups];
  float sums[M][S::kGroups];

  QK_DEVICE explicit GroupFactors(const BatchRows<S, A>& batch_rows) {
    QK_UNROLL_ALL
    for (int m = 0; m < M; ++m) {
      if constexpr (A != Act::kFloat32) batch_rows.load_scales(m, scales[m]);
      if constexpr (S::kHasMin) batch_rows.load_sums(m, sums[m]);
    }
  }
};

template <class S, Act A>
QK_DEVICE float scaled(const typename S::Held& held, int c, int g, const Dots<A>& dots) {
  if constexpr (S::kScaled) {
    return dots.times(S::scale(held, c, g));
  } else {
    return dots.value();
  }
}

// Adds the products of a group of both rows with the batch rows of a unit.
template <class S, Act A, int M>
QK_DEVICE void add_group(const typename S::Held (&held)[kRows], int c, int g,
                         const BatchRows<S, A>& batch_rows, const GroupFactors<S, A, M>& factors,
                         float (&products)[kRows][M]) {
  Dots<A> dots[M][kRows];
  QK_UNROLL_ALL
  for (int i = S::kParts * g; i < S::kParts * (g + 1); ++i) {
    uint32_t quads[kRows][4];
    QK_UNROLL_ALL
    for (int r = 0; r < kRows; ++r) S::quads(held[r], c, i, quads[r]);
    QK_UNROLL_ALL
    for (int m = 0; m < M; ++m) {
      const typename Dots<A>::X x(batch_rows.part(m, i));
      add_part<S, A>(held, c, i, quads, x, dots[m]);
    }
  }
  QK_UNROLL_ALL
  for (int r = 0; r < kRows; ++r) {
    QK_UNROLL_ALL
    for (int m = 0; m < M; ++m) {
      const float product = scaled<S, A>(held[r], c, g, dots[m][r]);
      if constexpr (A == Act::kFloat32) {
        products[r][m] += product;
      } else {
        products[r][m] = __fmaf_rn(factors.scales[m][g], product, products[r][m]);
      }
    }
  }
}

// Adds what the mins of a row's slice contribute.
template <class S, Act A, int M>
QK_DEVICE void add_mins(const typename S::Held& held, int c, const GroupFactors<S, A, M>& factors,
                        float (&sums)[M]) {
  // Of a min that 32 weights share, a slice with 16 of them takes half.
  constexpr float kShare = S::kMinOf16 || S::kParts == 2 ? 1.0f : 0.5f;
  const float dmin = kShare * S::dmin(held);
  QK_UNROLL_ALL
  for (int m = 0; m < M; ++m) {
    float mins = 0.0f;
    QK_UNROLL_ALL
    for (int g = 0; g < S::kGroups; ++g) {
      if constexpr (S::kMinScaled) {
        mins = __fmaf_rn(static_cast<float>(S::min(held, c, g)), factors.sums[m][g], mins);
      } else {
        mins += factors.sums[m][g];
      }
    }
    sums[m] = __fmaf_rn(dmin, mins, sums[m]);
  }
}

// Adds the products of a slice of both rows with the batch rows of a unit.
template <class S, Act A, int M>
QK_DEVICE void multiply(const typename S::Held (&held)[kRows], int c,
                        const BatchRows<S, A>& batch_rows, float (&sums)[kRows][M]) {
  const GroupFactors<S, A, M> factors(batch_rows);
  float products[kRows][M] = {};
  QK_UNROLL_ALL
  for (int g = 0; g < S::kGroups; ++g)
    add_group<S, A, M>(held, c, g, batch_rows, factors, products);
  QK_UNROLL_ALL
  for (int r = 0; r < kRows; ++r) {
    const float d = S::d(held[r]);
    QK_UNROLL_ALL
    for (int m = 0; m < M; ++m) sums[r][m] = __fmaf_rn(d, products[r][m], sums[r][m]);
    if constexpr (S::kHasMin) add_mins<S, A, M>(held[r], c, factors, sums[r]);
  }
}

// Which rows a warp works on, and which slices of them its lanes begin with.
struct WarpPlace {
  int warp;
  int lane;
  int part;  // of the warps that share the rows
  int slice;
  int64_t pair;

  QK_DEVICE explicit WarpPlace(int warps_per_row)
      : warp(static_cast<int>(threadIdx.x) / kWarp),
        lane(static_cast<int>(threadIdx.x) % kWarp),
        part(warp % warps_per_row),
        slice(part * kWarp + lane),
        pair(static_cast<int64_t>(blockIdx.x) * (kWarps / warps_per_row) + warp / warps_per_row) {}
};

// The rows of a pair; where there are no more, the last one again, which is not stored twice.
QK_DEVICE void pick_rows(const GemvArgs& args, int64_t pair, const uint8_t* (&rows)[kRows]) {
  QK_UNROLL_ALL
  for (int r = 0; r < kRows; ++r) {
    const bool gated = args.epilogue.gated;
    const int64_t row = gated ? pair : kRows * pair + r;
    const uint8_t* matrix = gated && r == 1 ? args.up : args.weights;
    rows[r] = matrix + (row < args.n ? row : args.n - 1) * args.row_stride;
  }
}

// Sums of lanes and warps, to y. Lane i of a pair's first warp stores row i / M of batch row i % M.
template <int M>
QK_DEVICE void finish(float (&sums)[kRows][M], const GemvArgs& args, const WarpPlace& place) {
  __shared__ float partial[kWarps][kRows * M];
  const Epilogue& epilogue = args.epilogue;
  QK_UNROLL_ALL
  for (int i = 0; i < kRows * M; ++i) {
    const float sum = warp_sum(sums[i / M][i % M]);
    if (place.lane == 0) partial[place.warp][i] = sum;
  }
  __syncthreads();
  if (place.part != 0 || place.lane >= kRows * M) return;
  const int batch_row = place.lane % M;
  const int which = place.lane / M;
  const int64_t row = epilogue.gated ? place.pair : kRows * place.pair + which;
  if (row >= args.n || batch_row >= epilogue.batch_rows || (epilogue.gated && which != 0)) return;
  float value = 0.0f;
  float up = 0.0f;
  QK_UNROLL_NONE
  for (int w = place.warp; w < place.warp + args.warps_per_row; ++w) {
    value += partial[w][place.lane];
    if (epilogue.gated) up += partial[w][M + batch_row];
  }
  const float row_scale = reinterpret_cast<const float*>(args.activations)[batch_row];
  value = with_bias(row_scale * value, epilogue.bias, epilogue.bias_stride, row, batch_row);
  value = apply(epilogue.function, value);
  if (epilogue.gated) {
    value *= with_bias(row_scale * up, epilogue.up_bias, epilogue.bias_stride, row, batch_row);
  }
  store_float(value, epilogue.y, epilogue.type, batch_row * epilogue.y_stride + row);
}

template <class S, Layout L, Act A, int M>
__global__ __launch_bounds__(kGemvThreads, blocks_at_once(M, S::kTakesManyRegisters)) void gemv(
    const GemvArgs args) {
  const WarpPlace place(args.warps_per_row);
  const int c = place.slice % S::kPerBlock;
  const int first = place.slice / S::kPerBlock;
  const int step = args.warps_per_row * (kWarp / S::kPerBlock);
  const uint8_t* rows[kRows];
  pick_rows(args, place.pair, rows);
  BlockAt<S, L> at[kRows] = {{rows[0], args.planes, first}, {rows[1], args.planes, first}};
  const auto* units = reinterpret_cast<const Unit<A>*>(args.activations + kRowScaleBytes);
  BatchRows<S, A> batch_rows(units + static_cast<int64_t>(first * S::kBlock / 256) * M,
                             first * S::kBlock % 256 + S::base(c));

  const int blocks = static_cast<int>(args.blocks);
  typename S::Held held[kRows];
  const auto load = [&] {
    QK_UNROLL_ALL
    for (int r = 0; r < kRows; ++r) S::load(at[r], c, held[r]);
  };
  if (first < blocks) load();

  wait_for_kernel_before();  // it writes the activations, while the first weights are on their way
  float sums[kRows][M] = {};
  for (int block = first; block < blocks;) {
    multiply<S, A, M>(held, c, batch_rows, sums);
    block += step;
    QK_UNROLL_ALL
    for (auto& at_row : at) at_row.advance(step);
    batch_rows.advance(step * S::kBlock / 256 * M);
    if (block < blocks) load();
  }
  finish<M>(sums, args, place);
}

}  // namespace qk::cuda
