// mxfp4: the block's exponent is that of its largest magnitude, less the 2 that the largest code
// has, and each weight takes the nearest code, the first of two that are as near; as `gguf.quants`.
#pragma once

#include <cmath>

#include "formats/code_tables.h"
#include "formats/mxfp4.h"
#include "quantize/blocks_of_32.h"
#include "quantize/lanes.h"
#include "quantize/quantizer.h"

namespace qk {

// The stored exponent for weights up to `largest`: floor(log2(largest)) + 125, with the logarithm
// rounded to a float, which takes numbers just below a power of two for that power.
inline uint8_t exponent_for(float largest) {
  if (largest == 0.0f) return 0;
  const auto log2 = static_cast<float>(std::log2(static_cast<double>(largest)));
  const int exponent = static_cast<int>(std::floor(log2)) + 125;
  return static_cast<uint8_t>(exponent > 0 ? exponent : 0);
}

inline bool encode_mxfp4(const float* x, MXFP4::Block& block) {
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
      best = nearer ? LaneInts{} + code : best;
      least = select(nearer, error, least);
    }
    int32_t found[kQuantizeLanes];
    store_lanes(best, found);
    for (int i = 0; i < kQuantizeLanes; ++i) codes[half + i] = static_cast<uint8_t>(found[i]);
  }
  pack_nibbles(codes, block.qs);
  return true;
}

template <>
inline constexpr Quantizer kQuantizer<MXFP4>{&quantize_each<MXFP4, &encode_mxfp4>};

}  // namespace qk
