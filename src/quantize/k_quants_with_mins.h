// q2_k, q4_k and q5_k: groups with whole scales and mins, each of which share a half. Those of
// groups of 32 are searched two superblocks at a time.
#pragma once

#include "formats/q2_k.h"
#include "formats/q4_k.h"
#include "formats/q5_k.h"
#include "quantize/k_quants.h"
#include "quantize/min_search.h"

namespace qk::QK_ISA {
namespace {

QK_INLINE bool encode_q2_k(const float* x, const float* importance, int, Q2_K::Block* to) {
  Q2_K::Block& block = *to;
  Groups<16> groups;
  load_groups<16, 16>(x, importance, 16, &groups);
  const LineFit line = best_line<3, 9, true>(groups, -0.6f, 0.2f);
  const SharedLines shared = share_lines<3, 16, 15, 4>(groups, line);
  uint8_t quants[256];
  take_line_quants<3>(groups, shared.scales * shared.d.values, shared.mins * shared.dmin.values,
                      quants);
  pack_crumbs(quants, 0, block.qs);
  uint64_t packed[2];
  bytes_of(to_ints(shared.scales) | to_ints(shared.mins) << 4, packed);
  block.scales[0].set(packed[0]);
  block.scales[1].set(packed[1]);
  block.d = shared.d.halves[0];
  block.dmin = shared.dmin.halves[0];
  return shared.fit;
}

// The reverse of unpack_6bit_scales: the eight groups from lane `first` on.
QK_INLINE void pack_6bit_scales(LaneInts scales, LaneInts mins, int first, uint8_t* out) {
  for (int j = 0; j < 4; ++j) {
    const int scale = scales[first + j + 4];
    const int min = mins[first + j + 4];
    out[j] = static_cast<uint8_t>(scales[first + j] | scale >> 4 << 6);
    out[j + 4] = static_cast<uint8_t>(mins[first + j] | min >> 4 << 6);
    out[j + 8] = static_cast<uint8_t>((scale & 15) | (min & 15) << 4);
  }
}

// Bits 0..3 of 256 quants: groups of 32 in pairs, the first of them in the low nibbles.
QK_INLINE void pack_nibbles_of_64(const uint8_t* quants, uint8_t* out) {
  for (int i = 0; i < 128; ++i) {
    const uint8_t* first = quants + 64 * (i / 32) + i % 32;
    out[i] = static_cast<uint8_t>((first[0] & 15) | (first[32] & 15) << 4);
  }
}

// q4_k and q5_k: one superblock or two.
template <class F, int kTries>
QK_INLINE bool encode_pair(const float* x, const float* importance, int count,
                           typename F::Block* blocks, float first_try, float step) {
  constexpr int kMost = F::kMaxQuant;
  Groups<32> groups;
  load_groups<32, 8>(x, importance, 8 * count, &groups);
  const LineFit line = best_line<kMost, kTries, true>(groups, first_try, step);
  const SharedLines shared = share_lines<kMost, 8, 63, 2>(groups, line);
  uint8_t quants[512];
  take_line_quants<kMost>(groups, shared.scales * shared.d.values, shared.mins * shared.dmin.values,
                          quants);
  for (int i = 0; i < count; ++i) {
    typename F::Block& block = blocks[i];
    pack_6bit_scales(to_ints(shared.scales), to_ints(shared.mins), 8 * i, block.scales);
    pack_nibbles_of_64(quants + 256 * i, block.qs);
    if constexpr (requires { block.qh; }) pack_bits(quants + 256 * i, 4, block.qh);
    block.d = shared.d.halves[8 * i];
    block.dmin = shared.dmin.halves[8 * i];
  }
  return shared.fit;
}

QK_INLINE bool encode_q4_k(const float* x, const float* importance, int count,
                           Q4_K::Block* blocks) {
  return encode_pair<Q4_K, 8>(x, importance, count, blocks, -0.8f, 0.3f);
}

QK_INLINE bool encode_q5_k(const float* x, const float* importance, int count,
                           Q5_K::Block* blocks) {
  return encode_pair<Q5_K, 6>(x, importance, count, blocks, -0.6f, 0.3f);
}

template <class Isa>
inline constexpr Quantizer kQuantizer<Q2_K, Isa>{&search_together<Q2_K, Isa, 1, &encode_q2_k>,
                                                 true};
template <class Isa>
inline constexpr Quantizer kQuantizer<Q4_K, Isa>{&search_together<Q4_K, Isa, 2, &encode_q4_k>,
                                                 true};
template <class Isa>
inline constexpr Quantizer kQuantizer<Q5_K, Isa>{&search_together<Q5_K, Isa, 2, &encode_q5_k>,
                                                 true};

}  // namespace
}  // namespace qk::QK_ISA
