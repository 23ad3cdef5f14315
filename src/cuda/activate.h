// Quantising activations on the device: what the CPU's kernels do (kernels/activate.h), to the bit.
//
// A batch row's largest |x| comes first: it tells whether all is finite, and the power of two
// that x is scaled by when it lies outside [2^-64, 2^64). Blocks of a batch row find it each for
// itself, since reading x again costs less than waiting for another block; then each warp takes a
// group of 32 in turn, a value a lane.
#pragma once

#include <cstdint>

#include "core/half.h"
#include "cuda/activations.h"
#include "cuda/args.h"
#include "cuda/device.h"
#include "cuda/epilogue.h"

namespace qk::cuda {

inline constexpr uint32_t kInfinityBits = 0x7f800000u;

// The power of two to which a batch row with this largest magnitude is scaled, as an exponent.
QK_DEVICE int column_exponent(uint32_t magnitude) {
  if (magnitude == 0 || magnitude >= kInfinityBits) return 0;
  const int exponent = static_cast<int>(magnitude >> 23) - 127;
  if (exponent >= -64 && exponent < 64) return 0;
  return exponent < -126 ? -126 : exponent;
}

// 2^exponent, a denormal for -127.
QK_DEVICE float power_of_two(int exponent) {
  return float_of_bits(exponent == -127 ? 0x00400000u
                                        : static_cast<uint32_t>(exponent + 127) << 23);
}

QK_DEVICE uint32_t larger(uint32_t a, uint32_t b) { return a > b ? a : b; }

QK_DEVICE uint32_t warp_largest(uint32_t value) {
  QK_UNROLL_ALL
  for (int lanes = kWarp / 2; lanes > 0; lanes /= 2) {
    value = larger(value, __shfl_xor_sync(kAllLanes, value, lanes));
  }
  return value;
}

// Of 16 lanes.
template <class T>
QK_DEVICE T half_warp_sum(T value) {
  QK_UNROLL_ALL
  for (int lanes = kWarp / 4; lanes > 0; lanes /= 2) {
    value += __shfl_xor_sync(kAllLanes, value, lanes);
  }
  return value;
}

// Magnitudes compare as integers in the order of their values, NaN above infinity.
QK_DEVICE uint32_t column_magnitude(const ActivateArgs& args, int64_t begin) {
  __shared__ uint32_t of_warps[kActivateThreads / kWarp];
  const int thread = static_cast<int>(threadIdx.x);
  uint32_t largest = 0;
  QK_UNROLL(4)  // loads on their way together
  for (int64_t i = thread; i < args.k; i += kActivateThreads) {
    largest =
        larger(largest, bits_of_float(load_as_float(args.x, args.type, begin + i)) & 0x7fffffffu);
  }
  largest = warp_largest(largest);
  if (thread % kWarp == 0) of_warps[thread / kWarp] = largest;
  __syncthreads();
  return warp_largest(of_warps[thread % kWarp]);
}

// A lane's value of group g of a unit, multiplied into the range of the batch row.
template <Act A>
QK_DEVICE void activate_group(float x, int g, Unit<A>& unit) {
  constexpr int kMax = UnitOf<A>::kMax;
  const int lane = static_cast<int>(threadIdx.x) % kWarp;
  const float magnitude = float_of_bits(warp_largest(bits_of_float(x) & 0x7fffffffu));
  const bool tiny = magnitude < 1e-30f;
  const float inverse = tiny ? 0.0f : static_cast<float>(kMax) / magnitude;
  const int rounded = __float2int_rn(x * inverse);
  const int bounded = rounded > kMax ? kMax : rounded;
  const int v = bounded < -kMax ? -kMax : bounded;
  const float scale = tiny ? 0.0f : magnitude / static_cast<float>(kMax);
  if constexpr (A == Act::kInt16) {
    const int high = (v + 128) >> 8;  // so that the low plane is in [-128, 127]
    unit.planes[0][32 * g + lane] = static_cast<int8_t>(high);
    unit.planes[1][32 * g + lane] = static_cast<int8_t>(v - 256 * high);
  } else {
    unit.planes[0][32 * g + lane] = static_cast<int8_t>(v);
  }
  const int sum16 = half_warp_sum(v);
  const int sum = sum16 + __shfl_xor_sync(kAllLanes, sum16, 16);
  if (lane % 16 == 0) unit.sum16[lane / 16][g] = scale * static_cast<float>(sum16);
  if (lane == 0) {
    unit.scale[g] = scale;
    unit.sum[g] = scale * static_cast<float>(sum);
  }
}

template <>
QK_DEVICE void activate_group<Act::kFloat32>(float x, int g, Unit<Act::kFloat32>& unit) {
  const int lane = static_cast<int>(threadIdx.x) % kWarp;
  unit.x[32 * g + lane] = x;
  const float sum16 = half_warp_sum(x);
  const float sum = sum16 + __shfl_xor_sync(kAllLanes, sum16, 16);
  if (lane % 16 == 0) unit.sum16[lane / 16][g] = sum16;
  if (lane == 0) unit.sum[g] = sum;
}

template <Act A>
__global__ __launch_bounds__(kActivateThreads) void activate(const ActivateArgs args) {
  let_next_kernel_start();
  const int batch_row = static_cast<int>(blockIdx.x);
  const int batch_rows = static_cast<int>(gridDim.x);
  const bool has_x = batch_row < args.batch_rows;
  const int64_t begin = has_x ? batch_row * args.stride : 0;
  const uint32_t magnitude = has_x ? column_magnitude(args, begin) : 0;
  const int exponent = column_exponent(magnitude);
  const bool is_number = magnitude < kInfinityBits;
  if (blockIdx.y == 0 && threadIdx.x == 0) {
    const bool nan = !is_number && A != Act::kFloat32;
    reinterpret_cast<float*>(args.out)[batch_row] =
        nan ? float_of_bits(0x7fc00000u) : power_of_two(exponent);
  }
  const bool counts = has_x && (is_number || A == Act::kFloat32);
  const float multiplier = power_of_two(-exponent);
  auto* units = reinterpret_cast<Unit<A>*>(args.out + kRowScaleBytes);
  const int lane = static_cast<int>(threadIdx.x) % kWarp;
  constexpr int kWarpsEach = kActivateThreads / kWarp;
  const int64_t first = static_cast<int64_t>(blockIdx.y) * kWarpsEach + threadIdx.x / kWarp;
  const int64_t step = static_cast<int64_t>(gridDim.y) * kWarpsEach;
  for (int64_t g = first; g < 8 * args.units; g += step) {
    const int64_t i = 32 * g + lane;
    const float x =
        counts && i < args.k ? load_as_float(args.x, args.type, begin + i) * multiplier : 0.0f;
    activate_group<A>(x, static_cast<int>(g % 8), units[g / 8 * batch_rows + batch_row]);
  }
}

}  // namespace qk::cuda
