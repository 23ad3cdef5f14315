// Products and copies of float weights: f32, f16, bf16, with float32 activations.
//
// A lane takes eight neighbours at a time, by 128-bit loads where rows are aligned to 16 bytes.
// What lies past k is not read.
#pragma once

#include <cstdint>

#include "cuda/dequantize.h"
#include "cuda/gemv.h"
#include "cuda/kernels.h"

namespace qk::cuda {

// Weights i .. i + 7 of a row, zero past k.
template <class F>
QK_DEVICE void load_floats(const uint8_t* row, int64_t i, int64_t k, bool aligned,
                           float (&out)[kNeighbours]) {
  constexpr int kBytes = F::kInfo.bytes;
  constexpr int kWords = kNeighbours * kBytes / 4;
  uint32_t words[kWords] = {};
  if (aligned && i + kNeighbours <= k) {
    load_words<16, kWords>(row + i * kBytes, words);
  } else {
    QK_UNROLL_ALL
    for (int w = 0; w < kNeighbours; ++w) {
      if (i + w >= k) break;
      const uint8_t* at = row + (i + w) * kBytes;
      if constexpr (kBytes == 4) {
        load_words<4, 1>(at, words + w);
      } else {
        words[w / 2] |= load_half<2>(at) << (16 * (w % 2));
      }
    }
  }
  QK_UNROLL_ALL
  for (int w = 0; w < kNeighbours; ++w) {
    typename F::Block block;
    __builtin_memcpy(&block, reinterpret_cast<const uint8_t*>(words) + w * kBytes, kBytes);
    F::decode(block, out + w);
  }
}

QK_DEVICE bool aligned_to_16(const uint8_t* first, int64_t stride) {
  return (reinterpret_cast<uintptr_t>(first) | static_cast<uintptr_t>(stride)) % 16 == 0;
}

// args.blocks is k.
template <class F, int M>
__global__ __launch_bounds__(kGemvThreads,
                             blocks_at_once(M, false)) void float_gemv(const GemvArgs args) {
  const WarpPlace place(args.warps_per_row);
  const uint8_t* rows[kRows];
  pick_rows(args, place.pair, rows);
  const bool aligned =
      aligned_to_16(rows[0], args.row_stride) && aligned_to_16(rows[1], args.row_stride);
  const auto* units = reinterpret_cast<const FloatUnit*>(args.activations + kRowScaleBytes);
  wait_for_kernel_before();

  float sums[kRows][M] = {};
  const int64_t step = static_cast<int64_t>(args.warps_per_row) * kWarp * kNeighbours;
  for (int64_t i = static_cast<int64_t>(place.slice) * kNeighbours; i < args.blocks; i += step) {
    float weights[kRows][kNeighbours];
    QK_UNROLL_ALL
    for (int r = 0; r < kRows; ++r) load_floats<F>(rows[r], i, args.blocks, aligned, weights[r]);
    const FloatUnit* unit = units + i / 256 * M;
    QK_UNROLL_ALL
    for (int m = 0; m < M; ++m) {
      const auto* x = reinterpret_cast<const float4*>(unit[m].x + i % 256);
      QK_UNROLL_ALL
      for (int h = 0; h < kNeighbours / 4; ++h) {
        const float4 four = x[h];
        QK_UNROLL_ALL
        for (int r = 0; r < kRows; ++r) {
          sums[r][m] = __fmaf_rn(weights[r][4 * h], four.x, sums[r][m]);
          sums[r][m] = __fmaf_rn(weights[r][4 * h + 1], four.y, sums[r][m]);
          sums[r][m] = __fmaf_rn(weights[r][4 * h + 2], four.z, sums[r][m]);
          sums[r][m] = __fmaf_rn(weights[r][4 * h + 3], four.w, sums[r][m]);
        }
      }
    }
  }
  finish<M>(sums, args, place);
}

template <class F>
__global__ __launch_bounds__(kDecodeThreads) void float_dequantize(const DecodeArgs args) {
  const int64_t i = (static_cast<int64_t>(blockIdx.x) * kDecodeThreads + threadIdx.x) * kNeighbours;
  if (i >= args.k) return;
  for (int64_t row = blockIdx.y; row < args.n; row += gridDim.y) {
    float out[kNeighbours];
    const uint8_t* from = args.weights + row * args.row_stride;
    load_floats<F>(from, i, args.k, aligned_to_16(from, 0), out);
    QK_UNROLL_ALL
    for (int w = 0; w < kNeighbours; ++w) {
      if (i + w < args.k) store_float(out[w], args.out, args.type, row * args.out_stride + i + w);
    }
  }
}

// Float weights are multiplied with float32 activations whatever was asked for.
template <class F>
FormatKernels describe_float() {
  FormatKernels kernels{};
  kernels.weights_per_step = kWarp * kNeighbours;
  auto& gemv = kernels.gemv[static_cast<int>(Layout::kNative)][static_cast<int>(Act::kFloat32)];
  gemv[0] = &float_gemv<F, batch_rows_of_class(0)>;
  gemv[1] = &float_gemv<F, batch_rows_of_class(1)>;
  gemv[2] = &float_gemv<F, batch_rows_of_class(2)>;
  kernels.dequantize[static_cast<int>(Layout::kNative)] = &float_dequantize<F>;
  kernels.weights_per_thread[static_cast<int>(Layout::kNative)] = kNeighbours;
  return kernels;
}

}  // namespace qk::cuda
