// The formats at run time: by index, by name, by GGUF id.
#pragma once

#include <cstdint>

#include "core/status.h"
#include "formats/format.h"
#include "formats/panel.h"

namespace qk {

struct Format {
  FormatInfo info;
  bool is_float;               // f32, f16, bf16: always multiplied with float32 activations
  const PanelElements* panel;  // a block's elements in panels, kMostPanelElements
  int panel_bytes;             // a block's bytes in panels
  void (*decode)(const void* block, float* out);
  // Raw integers, weight = scale * integer + min: weights that share a scale, or 0 where the
  // weights are floats, and then the functions are null.
  int group;
  void (*integers)(const void* block, int8_t* out);
  void (*scales)(const void* block, float* scales, float* mins);  // a block's groups
  // Between a block and what panels hold of it; null where that is its own bytes.
  void (*recode)(const void* block, void* recoded);
  void (*restore)(const void* recoded, void* block);
};

int format_count();
const Format& format_at(int index);

// The index of a format, or -1.
int find_format(const char* name);  // in any case
int find_format_by_gguf_id(int64_t gguf_id);

// The bytes of a row of k weights: ceil(k / block) blocks. Fails where that passes 2^63.
Status row_bytes(int format, int64_t k, int64_t* out);

// The bytes of a row of k weights in panels.
Status packed_row_bytes(int format, int64_t k, int64_t* out);

}  // namespace qk
