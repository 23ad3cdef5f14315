// q3_k and q6_k: 16 groups of 16 weights with whole scales that share a half.
#pragma once

#include "formats/q3_k.h"
#include "formats/q6_k.h"
#include "quantize/codes.h"
#include "quantize/quantizer.h"
#include "quantize/scale_search.h"

namespace qk::QK_ISA {
namespace {

// Two bits of each of 256 quants, as q2_k has them.
QK_INLINE void pack_crumbs(const uint8_t* quants, int shift, uint8_t* out) {
  for (int i = 0; i < 64; ++i) {
    const uint8_t* first = quants + 128 * (i / 32) + i % 32;
    int byte = 0;
    for (int part = 0; part < 4; ++part) byte |= (first[32 * part] >> shift & 3) << (2 * part);
    out[i] = static_cast<uint8_t>(byte);
  }
}

// One bit of each of 256 quants: bit g of byte i is that of quant 32 g + i.
QK_INLINE void pack_bits(const uint8_t* quants, int shift, uint8_t* out) {
  for (int i = 0; i < 32; ++i) {
    int byte = 0;
    for (int g = 0; g < 8; ++g) byte |= (quants[32 * g + i] >> shift & 1) << g;
    out[i] = static_cast<uint8_t>(byte);
  }
}

// Whole numbers of 16 lanes, less than 256, as the bytes of two words.
QK_INLINE void bytes_of(LaneInts numbers, uint64_t* words) {
  words[0] = words[1] = 0;
  for (int g = 0; g < kQuantizeLanes; ++g) {
    words[g / 8] |= static_cast<uint64_t>(static_cast<uint8_t>(numbers[g])) << (8 * (g % 8));
  }
}

QK_INLINE bool encode_q3_k(const float* x, const float* importance, int, Q3_K::Block* to) {
  Q3_K::Block& block = *to;
  using Code = WholeNumbers<-4, 3>;
  Groups<16> groups;
  load_groups<16, 16>(x, importance, 16, &groups);
  const Lanes scale = best_scale<Code, 5>(groups, 0.85f, 0.125f);
  const SharedScales shared = share_scales<Code, 16, -32, 31, 2>(groups, scale);
  uint8_t quants[256];
  take_quants<Code>(groups, shared.numbers * shared.d.values, quants);
  pack_crumbs(quants, 0, block.qs);
  pack_bits(quants, 2, block.hmask);
  uint64_t scales[2];
  bytes_of(to_ints(shared.numbers) + 32, scales);
  pack_q3_k_scales({scales[0], scales[1]}, block.scales);
  block.d = shared.d.halves[0];
  return shared.fit;
}

// Bits 0..3 of q6_k's quants.
QK_INLINE void pack_low_nibbles(const uint8_t* quants, uint8_t* out) {
  for (int i = 0; i < 128; ++i) {
    const uint8_t* first = quants + 128 * (i / 64) + i % 64;
    out[i] = static_cast<uint8_t>((first[0] & 15) | (first[64] & 15) << 4);
  }
}

QK_INLINE bool encode_q6_k(const float* x, const float* importance, int, Q6_K::Block* to) {
  Q6_K::Block& block = *to;
  using Code = WholeNumbers<-32, 31>;
  Groups<16> groups;
  load_groups<16, 16>(x, importance, 16, &groups);
  const Lanes scale = best_scale<Code, 5>(groups, 0.97f, 0.015f);
  const SharedScales shared = share_scales<Code, 16, -128, 127, 2>(groups, scale);
  uint8_t quants[256];
  take_quants<Code>(groups, shared.numbers * shared.d.values, quants);
  pack_low_nibbles(quants, block.ql);
  pack_crumbs(quants, 4, block.qh);
  uint64_t scales[2];
  bytes_of(to_ints(shared.numbers), scales);
  block.scales[0].set(scales[0]);
  block.scales[1].set(scales[1]);
  block.d = shared.d.halves[0];
  return shared.fit;
}

template <class Isa>
inline constexpr Quantizer kQuantizer<Q3_K, Isa>{&search_together<Q3_K, Isa, 1, &encode_q3_k>,
                                                 true};
template <class Isa>
inline constexpr Quantizer kQuantizer<Q6_K, Isa>{&search_together<Q6_K, Isa, 1, &encode_q6_k>,
                                                 true};

}  // namespace
}  // namespace qk::QK_ISA
