// What turns floats into the blocks of a format: the format's own encode(), or where there is a
// header of quantisers for its family, what that specialises kQuantizer with.
// quantize/quantize_table.cpp lists them, once an ISA.
//
// Nothing here asks an ISA for idioms: the code is the compiler's vectors (quantize/lanes.h), and
// an ISA is the flags that it is compiled with. Functions whose address is taken have the ISA as a
// template argument, which keeps them to its object; all others are always inlined.
#pragma once

#include <cstdint>

#include "core/half.h"
#include "core/unaligned.h"
#include "quantize/quantize_table.h"

namespace qk::QK_ISA {
namespace {

inline constexpr float kLargestHalf = 65504.0f;
inline constexpr float kPastHalves = 65520.0f;  // rounds to infinity, and so does what is larger

QK_INLINE bool is_finite(float value) { return __builtin_fabsf(value) < __builtin_inff(); }

// To a half; false where that is infinite or a NaN, and so no scale.
QK_INLINE bool store_scale(float value, U16& scale) {
  const uint16_t half = float_to_half(value);
  scale.set(half);
  return (half & 0x7fff) < 0x7c00;
}

// The quantiser of a format whose blocks are made one by one, by the function `kEncode` of a
// block's weights.
template <class F, class Isa, bool (*kEncode)(const float*, typename F::Block&)>
bool quantize_each(const float* x, const float*, int64_t blocks, uint8_t* out) {
  auto* block = reinterpret_cast<typename F::Block*>(out);
  bool fits = true;
  for (int64_t i = 0; i < blocks; ++i) fits &= kEncode(x + i * F::kInfo.block, block[i]);
  return fits;
}

template <class F, class Isa>
constexpr Quantizer own_quantizer() {
  if constexpr (requires { &F::encode; }) {
    return {&quantize_each<F, Isa, &F::encode>};
  } else {
    return {};
  }
}
template <class F, class Isa>
inline constexpr Quantizer kQuantizer = own_quantizer<F, Isa>();

// The quantiser of a format of which `kEncode` makes kAtOnce blocks at a time, or what is left.
template <class F, class Isa, int kAtOnce,
          bool (*kEncode)(const float*, const float*, int, typename F::Block*)>
bool search_together(const float* x, const float* importance, int64_t blocks, uint8_t* out) {
  constexpr int kBlock = F::kInfo.block;
  auto* block = reinterpret_cast<typename F::Block*>(out);
  bool fits = true;
  for (int64_t i = 0; i < blocks; i += kAtOnce) {
    const auto count = static_cast<int>(blocks - i < kAtOnce ? blocks - i : kAtOnce);
    const float* factors = importance == nullptr ? nullptr : importance + kBlock * i;
    fits &= kEncode(x + kBlock * i, factors, count, block + i);
  }
  return fits;
}

}  // namespace
}  // namespace qk::QK_ISA
