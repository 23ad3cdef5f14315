// F16: one IEEE binary16 a weight.
#pragma once

#include "core/half.h"
#include "core/unaligned.h"
#include "formats/format.h"
#include "formats/panel.h"

namespace qk {

struct F16 : Floats {
  static constexpr FormatInfo kInfo{
      .name = "f16", .gguf_id = 1, .file_type = 1, .block = 1, .bytes = 2};
  struct Block {
    U16 bits;
  };
  static_assert(sizeof(Block) == kInfo.bytes && alignof(Block) == 1);
  static constexpr PanelElements kPanel[kMostPanelElements] = {{2, 1}};

  static QK_INLINE void decode(const Block& block, float* out) {
    out[0] = half_to_float(block.bits.get());
  }

  template <class I>
  static QK_INLINE typename I::Floats floats(const Block* unit, int v) {
    return I::load_f16(unit + v * I::kLanes);
  }

  template <class I>
  static QK_INLINE typename I::Floats panel_floats(PanelBlock<I> block) {
    return block.half(0);
  }
};

}  // namespace qk
