// q4_0, q4_1, q5_0, q5_1: as `gguf.quants` makes them, or with an importance the best scales and
// mins that the search finds, sixteen blocks at a time.
#pragma once

#include "quantize/blocks_of_32.h"
#include "quantize/min_search.h"
#include "quantize/scale_search.h"

namespace qk::QK_ISA {
namespace {

// Makes the blocks anew, one bit of `which` each, for which the search asked for scales that are no
// halves; false where there are none.
template <class F, bool (*kEncode)(const float*, typename F::Block&)>
QK_INLINE bool make_plainly(const float* x, uint32_t which, typename F::Block* blocks) {
  bool fits = true;
  for (int i = 0; which >> i != 0; ++i) {
    if (which >> i & 1) fits &= kEncode(x + 32 * i, blocks[i]);
  }
  return fits;
}

// Of formats without a min.
template <class F>
QK_INLINE bool encode_weighted(const float* x, const float* importance, int count,
                               typename F::Block* blocks) {
  using Code = WholeNumbers<-F::kBias, F::kMaxQuant - F::kBias>;
  Groups<32> groups;
  load_groups<32, 1>(x, importance, count, &groups);
  const Lanes scale = best_scale<Code, 9>(groups, 0.8f, 0.05f);
  const HalfScales d = to_half_scales<1>(scale, groups.power);
  uint8_t quants[512];
  take_quants<Code>(groups, d.values, quants);
  for (int i = 0; i < count; ++i) {
    blocks[i].d = d.halves[i];
    pack_quants(quants + 32 * i, blocks[i]);
  }
  return make_plainly<F, &encode_symmetric<F>>(x, d.past, blocks);
}

// Of formats with one.
template <class F>
QK_INLINE bool encode_weighted_with_min(const float* x, const float* importance, int count,
                                        typename F::Block* blocks) {
  constexpr int kMost = F::kMaxQuant;
  Groups<32> groups;
  load_groups<32, 1>(x, importance, count, &groups);
  const LineFit line = best_line<kMost, 8, false>(groups, -0.8f, 0.3f);
  const HalfScales d = to_half_scales<1>(line.scale, groups.power);
  const HalfScales m = to_half_scales<1>(line.min, groups.power);
  uint8_t quants[512];
  take_line_quants<kMost>(groups, d.values, -m.values, quants);
  for (int i = 0; i < count; ++i) {
    blocks[i].d = d.halves[i];
    blocks[i].m = m.halves[i];
    pack_quants(quants + 32 * i, blocks[i]);
  }
  return make_plainly<F, &encode_with_min<F>>(x, d.past | m.past, blocks);
}

// One quantiser without importance, another with it.
template <class Isa, QuantizeFn kPlain, QuantizeFn kWeighted>
bool quantize_either(const float* x, const float* importance, int64_t blocks, uint8_t* out) {
  return (importance == nullptr ? kPlain : kWeighted)(x, importance, blocks, out);
}

template <class F, class Isa>
inline constexpr Quantizer kSymmetricBlocks{
    &quantize_either<Isa, &quantize_each<F, Isa, &encode_symmetric<F>>,
                     &search_together<F, Isa, 16, &encode_weighted<F>>>,
    true};
template <class F, class Isa>
inline constexpr Quantizer kBlocksWithMin{
    &quantize_either<Isa, &quantize_each<F, Isa, &encode_with_min<F>>,
                     &search_together<F, Isa, 16, &encode_weighted_with_min<F>>>,
    true};

template <class Isa>
inline constexpr Quantizer kQuantizer<Q4_0, Isa> = kSymmetricBlocks<Q4_0, Isa>;
template <class Isa>
inline constexpr Quantizer kQuantizer<Q5_0, Isa> = kSymmetricBlocks<Q5_0, Isa>;
template <class Isa>
inline constexpr Quantizer kQuantizer<Q4_1, Isa> = kBlocksWithMin<Q4_1, Isa>;
template <class Isa>
inline constexpr Quantizer kQuantizer<Q5_1, Isa> = kBlocksWithMin<Q5_1, Isa>;

}  // namespace
}  // namespace qk::QK_ISA
