// The integers of a block without their scales: weight = scale * integer + min.
//
// They are what decode() makes of the block once every scale is 1 and every min 0, so that no bit
// layout is read in two places, and a scale that is NaN or infinite leaves its integers alone.
#pragma once

#include <cmath>
#include <cstdint>

#include "formats/format.h"

namespace qk {

// A block's integers.
template <class F>
void block_integers(typename F::Block block, int8_t* out) {
  static_assert(F::kZero <= 128 && F::kMaxQuant - F::kZero <= 127, "integers are int8");
  constexpr int kBlock = F::kInfo.block;
  float quants[kBlock];
  F::set_scales_to_one(block);
  F::decode(block, quants);
  for (int i = 0; i < kBlock; ++i) {
    out[i] = static_cast<int8_t>(static_cast<int>(quants[i]) - (F::kZero - F::kBias));
  }
}

// A block's scales and mins, one a group. Where integers are centred, the min takes up what that
// takes off the quants, rounded once.
template <class F>
void block_scales(const typename F::Block& block, float* scales, float* mins) {
  constexpr auto kShift = static_cast<float>(F::kZero - F::kBias);
  for (int g = 0; g < F::kInfo.block / F::kGroup; ++g) {
    const ScaleAndMin group = F::scale_and_min(block, g);
    scales[g] = group.scale;
    mins[g] = kShift == 0.0f ? group.min : std::fma(group.scale, kShift, group.min);
  }
}

}  // namespace qk
