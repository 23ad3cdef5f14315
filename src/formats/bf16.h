// BF16: one bfloat16 a weight, the upper half of a float32.
#pragma once

#include "core/half.h"
#include "core/unaligned.h"
#include "formats/format.h"
#include "formats/panel.h"

namespace qk {

struct BF16 : Floats {
  static constexpr FormatInfo kInfo{
      .name = "bf16", .gguf_id = 30, .file_type = 32, .block = 1, .bytes = 2};
  struct Block {
    U16 bits;
  };
  static_assert(sizeof(Block) == kInfo.bytes && alignof(Block) == 1);
  static constexpr PanelElements kPanel[kMostPanelElements] = {{2, 1}};

  static QK_INLINE void decode(const Block& block, float* out) {
    out[0] = bfloat_to_float(block.bits.get());
  }

  template <class I>
  static QK_INLINE typename I::Floats floats(const Block* unit, int v) {
    return I::load_bf16(unit + v * I::kLanes);
  }

  template <class I>
  static QK_INLINE typename I::Floats panel_floats(PanelBlock<I> block) {
    return I::as_floats(I::shift_left(block.u16(0), 16));
  }
};

}  // namespace qk
