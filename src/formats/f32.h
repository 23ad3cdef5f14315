// F32: one IEEE binary32 a weight.
#pragma once

#include "core/half.h"
#include "core/unaligned.h"
#include "formats/format.h"
#include "formats/panel.h"

namespace qk {

struct F32 : Floats {
  static constexpr FormatInfo kInfo{
      .name = "f32", .gguf_id = 0, .file_type = 0, .block = 1, .bytes = 4};
  struct Block {
    Unaligned<float> value;
  };
  static_assert(sizeof(Block) == kInfo.bytes && alignof(Block) == 1);
  static constexpr PanelElements kPanel[kMostPanelElements] = {{4, 1}};

  static QK_INLINE void decode(const Block& block, float* out) { out[0] = block.value.get(); }

  template <class I>
  static QK_INLINE typename I::Floats floats(const Block* unit, int v) {
    return I::load_f32(unit + v * I::kLanes);
  }

  template <class I>
  static QK_INLINE typename I::Floats panel_floats(PanelBlock<I> block) {
    return I::as_floats(block.word(0));
  }
};

}  // namespace qk
