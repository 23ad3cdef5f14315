// f32, f16 and bf16: each weight rounded to the nearest, ties to even. NaN and infinity are kept; a
// finite weight that would become infinite is refused.
#pragma once

#include "core/half.h"
#include "formats/bf16.h"
#include "formats/f16.h"
#include "formats/f32.h"
#include "quantize/quantizer.h"

namespace qk::QK_ISA {
namespace {

QK_INLINE bool encode_f32(const float* x, F32::Block& block) {
  __builtin_memcpy(&block, x, sizeof(block));
  return true;
}

QK_INLINE bool encode_f16(const float* x, F16::Block& block) {
  return store_scale(*x, block.bits) || !is_finite(*x);
}

QK_INLINE bool encode_bf16(const float* x, BF16::Block& block) {
  const uint16_t rounded = float_to_bfloat(*x);
  block.bits.set(rounded);
  return is_finite(bfloat_to_float(rounded)) || !is_finite(*x);
}

template <class Isa>
inline constexpr Quantizer kQuantizer<F32, Isa>{&quantize_each<F32, Isa, &encode_f32>, false, true};
template <class Isa>
inline constexpr Quantizer kQuantizer<F16, Isa>{&quantize_each<F16, Isa, &encode_f16>, false, true};
template <class Isa>
inline constexpr Quantizer kQuantizer<BF16, Isa>{&quantize_each<BF16, Isa, &encode_bf16>, false,
                                                 true};

}  // namespace
}  // namespace qk::QK_ISA
