// f32, f16 and bf16: each weight rounded to the nearest, ties to even; NaN and infinity included.
#pragma once

#include "core/half.h"
#include "formats/bf16.h"
#include "formats/f16.h"
#include "formats/f32.h"
#include "quantize/quantizer.h"

namespace qk {

QK_INLINE bool encode_f32(const float* x, F32::Block& block) {
  __builtin_memcpy(&block, x, sizeof(block));
  return true;
}

QK_INLINE bool encode_f16(const float* x, F16::Block& block) {
  block.bits.set(float_to_half(*x));
  return true;
}

QK_INLINE bool encode_bf16(const float* x, BF16::Block& block) {
  block.bits.set(float_to_bfloat(*x));
  return true;
}

template <class Isa>
inline constexpr Quantizer kQuantizer<F32, Isa>{&quantize_each<F32, Isa, &encode_f32>, true};
template <class Isa>
inline constexpr Quantizer kQuantizer<F16, Isa>{&quantize_each<F16, Isa, &encode_f16>, true};
template <class Isa>
inline constexpr Quantizer kQuantizer<BF16, Isa>{&quantize_each<BF16, Isa, &encode_bf16>, true};

}  // namespace qk
