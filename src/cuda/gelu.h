// A bias and an activation function over a matrix of floats, in place.
#pragma once

#include <cstdint>

#include "cuda/args.h"
#include "cuda/device.h"
#include "cuda/epilogue.h"

namespace qk::cuda {

static __global__ __launch_bounds__(kElementThreads) void apply_to_elements(
    const ElementArgs args) {
  const int64_t column = static_cast<int64_t>(blockIdx.x) * kElementThreads + threadIdx.x;
  if (column >= args.columns) return;
  const float bias = args.bias == nullptr ? 0.0f : load_as_float(args.bias, args.bias_type, column);
  for (int64_t row = blockIdx.y; row < args.rows; row += gridDim.y) {
    const int64_t at = row * args.stride + column;
    const float x = load_as_float(args.values, args.type, at) + bias;
    store_float(apply(args.function, x), args.values, args.type, at);
  }
}

}  // namespace qk::cuda
