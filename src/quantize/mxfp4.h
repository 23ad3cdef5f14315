// mxfp4: the block's exponent is that of its largest magnitude, less the 2 that the largest code
// has, and each weight takes the nearest code, the first of two that are as near; as `gguf.quants`.
#pragma once

#include <numbers>

#include "formats/code_tables.h"
#include "formats/mxfp4.h"
#include "quantize/blocks_of_32.h"
#include "quantize/lanes.h"
#include "quantize/quantizer.h"

namespace qk::QK_ISA {
namespace {

// The stored exponent for weights up to `largest`: floor(log2(largest)) + 125, with the logarithm
// rounded to a float. That takes numbers just below a power of two 2^e for that power: those that
// lack j units of 2^(e-24), whose logarithm lacks j * 2^-24 / ln 2, less than half of what lies
// between e and the float below it.
QK_INLINE uint8_t exponent_for(float largest) {
  constexpr auto kLn2 = std::numbers::ln2_v<float>;
  const float normal = largest < 0x1p-126f ? largest * 0x1p24f : largest;
  const uint32_t bits = bits_of_float(normal);
  if (bits == 0) return 0;
  const int shift = normal == largest ? 0 : 24;
  const int next = static_cast<int>(bits >> 23) - 126 - shift;  // largest < 2^next
  const auto lacks = static_cast<float>(0x800000 - (bits & 0x7fffff));
  const auto size = static_cast<float>(next < 0 ? -next : next);
  const float below = float_of_bits(bits_of_float(size) & 0x7f800000);  // a power of two
  const float reach = next > 0 && below == size ? 0.5f * below : below;
  const int exponent = next - (lacks < kLn2 * reach ? 0 : 1) + 125;
  return static_cast<uint8_t>(exponent > 0 ? exponent : 0);
}

QK_INLINE bool encode_mxfp4(const float* x, MXFP4::Block& block) {
  block.e = exponent_for(largest_magnitude<32>(x));
  const float d = MXFP4::block_scale(block);
  uint8_t codes[32];
  for (int half = 0; half < 32; half += kQuantizeLanes) {
    const Lanes weights = load_lanes(x + half);
    Lanes least = magnitude(-weights);
    LaneInts best{};
    for (int code = 1; code < 16; ++code) {
      const auto value = static_cast<float>(kE2m1Values[code] - kE2m1Bias);
      const Lanes error = magnitude(d * value - weights);
      const LaneInts nearer = error < least;
      best = select(nearer, LaneInts(code), best);
      least = select(nearer, error, least);
    }
    int32_t found[kQuantizeLanes];
    store_lanes(best, found);
    for (int i = 0; i < kQuantizeLanes; ++i) codes[half + i] = static_cast<uint8_t>(found[i]);
  }
  pack_nibbles(codes, block.qs);
  return true;
}

template <class Isa>
inline constexpr Quantizer kQuantizer<MXFP4, Isa>{&quantize_each<MXFP4, Isa, &encode_mxfp4>};

}  // namespace
}  // namespace qk::QK_ISA
