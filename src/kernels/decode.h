// Rows of weights to float32: bit for bit what each format's own decode() gives, in the kernels'
// vectors.
//
// Scales and mins are rounded where decode() rounds them, and nothing is fused: a weight is
// scale * (quant - bias), rounded, and then the min is added.
#pragma once

#include "formats/format.h"

namespace qk::QK_ISA {
namespace {

// One unit of 256 weights.
template <class F, class I>
QK_INLINE void decode_unit(const typename F::Block* unit, float* out) {
  if constexpr (F::kFloat) {
    for (int v = 0; v < kUnit / I::kLanes; ++v) {
      I::store(out + v * I::kLanes, F::template floats<I>(unit, v));
    }
  } else {
    PerGroup<I, F::kGroup> scale;
    PerGroup<I, F::kMinGroup> min;
    F::template scales<I>(unit, scale, min);
    alignas(64) float scales[kUnit / F::kGroup];
    alignas(64) float mins[kUnit / F::kMinGroup];
    for (int i = 0; i < scale.kVectors; ++i) I::store8(scales + 8 * i, scale.v[i]);
    if constexpr (F::kHasMin) {
      for (int i = 0; i < min.kVectors; ++i) I::store8(mins + 8 * i, min.v[i]);
    }
    QK_UNROLL(8)
    for (int step = 0; step < kUnit / I::kStep; ++step) {
      const typename I::Quants quants = F::template quants<I>(unit, step);
      for (int v = 0; v < I::kStep / I::kLanes; ++v) {
        const int at = step * I::kStep + v * I::kLanes;
        const auto product = I::fmul(I::template quant_floats<F::kBias>(quants, v),
                                     I::template spread_floats<F::kGroup>(scales, at));
        if constexpr (F::kHasMin) {
          const auto min_of_each = I::template spread_floats<F::kMinGroup>(mins, at);
          I::store(out + at, I::add(product, min_of_each));
        } else {
          I::store(out + at, product);
        }
      }
    }
  }
}

// The first k weights of a row; what does not fill a unit is decoded block by block.
template <class F, class I>
void decode_row(const uint8_t* row, int64_t k, float* out) {
  constexpr int kBlock = F::kInfo.block;
  const auto* blocks = reinterpret_cast<const typename F::Block*>(row);
  const int64_t units = I::kIsVector ? k / kUnit : 0;  // plain loops gain nothing over decode()
  for (int64_t u = 0; u < units; ++u) {
    decode_unit<F, I>(blocks + u * (kUnit / kBlock), out + u * kUnit);
  }
  const int64_t whole = k / kBlock;
  for (int64_t b = units * (kUnit / kBlock); b < whole; ++b) {
    F::decode(blocks[b], out + b * kBlock);
  }
  if (const int64_t rest = k % kBlock; rest != 0) {
    float last[kBlock];
    F::decode(blocks[whole], last);
    for (int64_t i = 0; i < rest; ++i) out[whole * kBlock + i] = last[i];
  }
}

}  // namespace
}  // namespace qk::QK_ISA
