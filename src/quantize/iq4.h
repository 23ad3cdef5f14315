// iq4_nl and iq4_xs: groups of 32 weights, each one of sixteen values times a scale; sixteen groups
// are searched at a time.
#pragma once

#include "formats/iq4_nl.h"
#include "formats/iq4_xs.h"
#include "quantize/blocks_of_32.h"
#include "quantize/scale_search.h"

namespace qk::QK_ISA {
namespace {

// Tries reach past the values' ends, which clips the largest weights: most of the others are near
// the middle, where values lie closer.
QK_INLINE Lanes best_iq4_scale(const Groups<32>& groups) {
  return best_scale<Iq4Codes, 7>(groups, 0.85f, 0.075f);
}

QK_INLINE bool encode_iq4_nl(const float* x, const float* importance, int count,
                             IQ4_NL::Block* blocks) {
  Groups<32> groups;
  load_groups<32, 1>(x, importance, count, &groups);
  const HalfScales d = to_half_scales<1>(best_iq4_scale(groups), groups.power);
  uint8_t quants[512];
  take_quants<Iq4Codes>(groups, d.values, quants);
  for (int i = 0; i < count; ++i) {
    blocks[i].d = d.halves[i];
    pack_nibbles(quants + 32 * i, blocks[i].qs);
  }
  return d.past == 0 || are_in_reach(groups, -Iq4Codes::kLeast);
}

QK_INLINE bool encode_iq4_xs(const float* x, const float* importance, int count,
                             IQ4_XS::Block* blocks) {
  Groups<32> groups;
  load_groups<32, 8>(x, importance, 8 * count, &groups);
  const SharedScales shared = share_scales<Iq4Codes, 8, -32, 31, 2>(groups, best_iq4_scale(groups));
  uint8_t quants[512];
  take_quants<Iq4Codes>(groups, shared.numbers * shared.d.values, quants);
  const LaneInts scales = to_ints(shared.numbers) + 32;
  for (int i = 0; i < count; ++i) {
    IQ4_XS::Block& block = blocks[i];
    block.d = shared.d.halves[8 * i];
    int high = 0;
    for (int g = 0; g < 8; ++g) {
      high |= scales[8 * i + g] >> 4 << (2 * g);
      pack_nibbles(quants + 256 * i + 32 * g, block.qs + 16 * g);
    }
    for (int j = 0; j < 4; ++j) {
      const int first = 8 * i + 2 * j;
      block.scales_l[j] =
          static_cast<uint8_t>((scales[first] & 15) | (scales[first + 1] & 15) << 4);
    }
    block.scales_h.set(static_cast<uint16_t>(high));
  }
  return shared.fit;
}

template <class Isa>
inline constexpr Quantizer kQuantizer<IQ4_NL, Isa>{
    &search_together<IQ4_NL, Isa, 16, &encode_iq4_nl>, true};
template <class Isa>
inline constexpr Quantizer kQuantizer<IQ4_XS, Isa>{&search_together<IQ4_XS, Isa, 2, &encode_iq4_xs>,
                                                   true};

}  // namespace
}  // namespace qk::QK_ISA
