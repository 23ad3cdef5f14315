// What becomes of a product before it is stored: bias, gate, activation function, element type.
#pragma once

#include <cstdint>

#include "core/half.h"
#include "cuda/args.h"
#include "cuda/device.h"

namespace qk::cuda {

// e^-x overflows below -88 and is multiplied by nothing of weight long before: what is below -87
// counts as -87, so that minus infinity becomes (almost) 0. A NaN stays one.
QK_DEVICE float no_less_than_minus_87(float x) { return x < -87.0f ? -87.0f : x; }

QK_DEVICE float apply(Function function, float x) {
  if (function == Function::kNone) return x;
  const float bounded = no_less_than_minus_87(x);
  if (function == Function::kSilu) return bounded / (1.0f + expf(-bounded));
  if (function == Function::kGeluSigmoid) return x < -50.0f ? 0.0f : x / (1.0f + expf(-1.702f * x));
  // Neither 1 + erf nor 1 + tanh, which cancel where x is below 0.
  if (function == Function::kGelu) return 0.5f * bounded * erfcf(-0.707106781f * bounded);
  const float cubic = 0.797884561f * (bounded + 0.044715f * bounded * bounded * bounded);
  return bounded / (1.0f + expf(-2.0f * cubic));
}

QK_DEVICE float load_as_float(const void* from, Type type, int64_t index) {
  if (type == Type::kF32) return static_cast<const float*>(from)[index];
  const uint16_t bits = static_cast<const uint16_t*>(from)[index];
  return type == Type::kF16 ? half_of(bits) : bfloat_to_float(bits);
}

QK_DEVICE void store_float(float value, void* to, Type type, int64_t index) {
  if (type == Type::kF32) {
    static_cast<float*>(to)[index] = value;
  } else {
    static_cast<uint16_t*>(to)[index] =
        type == Type::kF16 ? float_to_half(value) : float_to_bfloat(value);
  }
}

QK_DEVICE float with_bias(float value, const float* bias, int64_t stride, int64_t row,
                          int batch_row) {
  return bias == nullptr ? value : value + bias[batch_row * stride + row];
}

}  // namespace qk::cuda
