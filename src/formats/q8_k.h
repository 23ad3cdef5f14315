// Q8_K: a superblock of 256 weights, 8 bits each, one float scale; ggml's form of activations for
// its K-quants.
//
//   byte   0..3     d      float32
//          4..259   qs     int8 x 256
//          260..291 bsums  int16 x 16, sums of 16 quants: an aid to products, ignored by decoding
//   weight[i] = d * qs[i]
//   integer = qs[i]
#pragma once

#include "core/half.h"
#include "core/unaligned.h"
#include "formats/format.h"
#include "formats/panel.h"

namespace qk {

struct Q8_K : Quantised<QuantRange{.most = 255, .bias = 128}> {
  static constexpr FormatInfo kInfo{.name = "q8_k",
                                    .gguf_id = 15,
                                    .block = 256,
                                    .bytes = 292,
                                    .integers = "the int8 quant: -128 to 127"};
  struct Block {
    Unaligned<float> d;
    int8_t qs[256];
    U16 bsums[16];
  };
  static_assert(sizeof(Block) == kInfo.bytes && alignof(Block) == 1);
  struct Recoded {
    Unaligned<float> d;
    int8_t qs[256];
  };
  static constexpr PanelElements kPanel[kMostPanelElements] = {{4, 65}};

  static QK_INLINE void decode(const Block& block, float* out) {
    const float d = block.d.get();
    for (int i = 0; i < 256; ++i) out[i] = d * static_cast<float>(block.qs[i]);
  }

  static QK_INLINE void set_scales_to_one(Block& block) { block.d.set(1.0f); }
  static QK_INLINE ScaleAndMin scale_and_min(const Block& block, int) {
    return {block.d.get(), 0.0f};
  }

  template <class I>
  static QK_INLINE typename I::Quants quants(const Block* unit, int step) {
    return I::template signed_bytes<32>(unit->qs + I::kStep * step);
  }

  template <class I>
  static QK_INLINE void scales(const Block* unit, PerGroup<I, kGroup>& scale,
                               PerGroup<I, kMinGroup>&) {
    scale.v[0] = I::broadcast8(unit->d.get());
  }

  template <class I>
  static QK_INLINE typename I::Words panel_quants(PanelBlock<I> block, int quad) {
    return block.signed_bytes(4, quad);
  }

  template <class I>
  static QK_INLINE typename I::Floats panel_scale(PanelBlock<I> block, int) {
    return I::as_floats(block.word(0));
  }

  static QK_INLINE void recode(const Block& block, Recoded& to) {
    to.d = block.d;
    __builtin_memcpy(to.qs, block.qs, sizeof(to.qs));
  }
  static QK_INLINE void restore(const Recoded& from, Block& block) {
    block.d = from.d;
    __builtin_memcpy(block.qs, from.qs, sizeof(from.qs));
    for (int g = 0; g < 16; ++g) {
      int sum = 0;
      for (int i = 16 * g; i < 16 * g + 16; ++i) sum += from.qs[i];
      block.bsums[g].set(static_cast<uint16_t>(sum));
    }
  }
};

}  // namespace qk
