// What becomes of a product before it is stored: bias, gate, activation function, element type.
#pragma once

#include <cstdint>

#include "core/half.h"
#include "cuda/activations.h"
#include "cuda/device.h"

namespace qk::cuda {

enum class Function : uint8_t { kNone, kSilu, kGelu, kGeluTanh, kGeluSigmoid };
enum class Type : uint8_t { kF32, kF16, kBF16 };

// e^-x overflows below -88 and is multiplied by nothing of weight long before: what is below -87
// counts as -87, so that minus infinity becomes (almost) 0. A NaN stays one.
QK_DEVICE float no_less_than_minus_87(float x) { return x < -87.0f ? -87.0f : x; }

QK_DEVICE float apply(Function function, float x) {
  if (function == Function::kNone) return x;
  const float bounded = no_less_than_minus_87(x);
  if (function == Function::kSilu) return bounded / (1.0f + expf(-bounded));
  if (function == Function::kGeluSigmoid) return x < -50.0f ? 0.0f : x / (1.0f + expf(-1.702f * x));
  if (function == Function::kGelu) {
    return 0.5f * bounded * (1.0f + erff(0.707106781f * bounded));
  }
  const float cubic = 0.797884561f * (bounded + 0.044715f * bounded * bounded * bounded);
  return 0.5f * bounded * (1.0f + tanhf(cubic));
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

struct Epilogue {
  void* y;
  int64_t y_stride;      // elements from a column of y to the next
  const float* bias;     // or null
  const float* up_bias;  // or null; of what a gate is multiplied with
  int64_t bias_stride;   // elements from a column's bias to the next, 0 where they share one
  int columns;
  Type type;
  Function function;  // of the product, or of the gate
  bool gated;

  QK_DEVICE float with_bias(float value, const float* from, int64_t row, int column) const {
    if (from == nullptr) return value;
    return value + from[column * bias_stride + row];
  }

  QK_DEVICE void store(float value, int64_t row, int column) const {
    store_float(value, y, type, column * y_stride + row);
  }
};

}  // namespace qk::cuda
