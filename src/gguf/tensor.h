// An entry of a file's tensor table:
//
//   string name | uint32 ndim | uint64 ne[ndim] | uint32 type | uint64 offset into the data
//
// ne[0] runs fastest: it is the depth of a row, NumPy's last dimension. A row is ne[0] / block
// blocks. Where the true depth is no multiple of the block, ne[0] is it rounded up, and a metadata
// key holds the true one.
#pragma once

#include <cstdint>
#include <string_view>

#include "core/status.h"
#include "gguf/cursor.h"

namespace qk::gguf {

inline constexpr int kMaxTensorDims = 4;

struct Tensor {
  uint32_t type = 0;  // GGUF's id
  int ndim = 0;
  int64_t ne[kMaxTensorDims] = {1, 1, 1, 1};  // as stored
  int64_t k = 0;                              // the true depth of a row, at most ne[0]
  int64_t offset = 0;                         // from the start of the data; of the file once placed
  int64_t nbytes = -1;                        // -1 where the type's size is unknown
};

// Reads an entry; its shape is checked, its offset not yet.
Status read_tensor(Cursor& cursor, std::string_view* name, Tensor* out);

// Where the data of a file of `file_size` bytes starts, and what offsets into it are multiples of.
struct DataRegion {
  int64_t start;
  int64_t alignment;
  int64_t file_size;
};

// Turns the offset into one from the start of the file, and checks that the bytes lie inside it.
Status place(const DataRegion& region, std::string_view name, Tensor* tensor);

// Makes `k` the true depth; `key` is the metadata key that says so.
Status set_depth(std::string_view key, int64_t k, Tensor* tensor);

}  // namespace qk::gguf
