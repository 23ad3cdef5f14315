// An entry of a file's tensor table:
//
//   string name | uint32 ndim | uint64 ne[ndim] | uint32 type | uint64 offset into the data
//
// ne[0] runs fastest: it is the depth of a row, NumPy's last dimension. A row is ne[0] / block
// blocks. Where the true depth is no multiple of the block, ne[0] is it rounded up, and a metadata
// key holds the true one.
//
// Whether the entry makes sense is a question of its own: one that does not is refused when its
// tensor is asked for, and the others are read. So an entry is kept as the file has it, and what is
// wrong with it is found once more when it has to be said.
#pragma once

#include <cstdint>
#include <span>
#include <string_view>
#include <vector>

#include "core/status.h"
#include "gguf/cursor.h"

namespace qk::gguf {

inline constexpr uint32_t kMaxTensorDims = 64;  // as NumPy's arrays

using Extents = std::span<const int64_t>;  // of a tensor: ne[0] first

struct Tensor {
  uint32_t type = 0;       // GGUF's id
  uint32_t ndim = 0;       // as stored; past kMaxTensorDims the extents are not kept
  int64_t extents = 0;     // where ne[0] is in the table of extents
  uint64_t offset = 0;     // from the start of the data
  int64_t k = 0;           // the true depth of a row, at most ne[0]; 1 without dimensions
  int64_t nbytes = -1;     // -1 where the type's size is unknown, or the entry is at fault
  int64_t depth_key = -1;  // the index of the key that says the true depth
  bool is_sound = false;   // whether examine() and the depth's key found nothing wrong
};

// Reads an entry and appends its extents to `table`. Nothing about it is checked.
Status read_tensor(Cursor& cursor, std::string_view* name, Tensor* out,
                   std::vector<int64_t>* table);

// Where the data of a file of `file_size` bytes starts, and what offsets into it are multiples of.
struct DataRegion {
  int64_t start = 0;
  int64_t alignment = 1;
  int64_t file_size = 0;
};

// Checks the shape, and that the bytes lie inside the file; fills in `k` and `nbytes`. A tensor
// without elements takes no bytes, and may lie anywhere.
Status examine(const DataRegion& region, std::string_view name, Extents ne, Tensor* tensor);

// Makes `k` the true depth; `key` is the metadata key that says so.
Status set_depth(std::string_view key, int64_t k, Extents ne, Tensor* tensor);

}  // namespace qk::gguf
