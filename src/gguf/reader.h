// A GGUF file, opened: every length, count, offset and size in its head has been checked, and
// nothing in it has been turned into an object yet.
//
//   "GGUF" | uint32 version, 2 or 3 | uint64 tensors | uint64 keys
//   keys      string name | uint32 value type | value, each       (value.h)
//   tensors   the tensor table                                    (tensor.h)
//   padding   to general.alignment, 32 where that key is missing
//   data      each tensor at its offset from here, a multiple of the alignment
//
// All of it little-endian; a string is a uint64 length and its bytes.
#pragma once

#include <cstdint>
#include <string_view>
#include <vector>

#include "core/os.h"
#include "core/status.h"
#include "gguf/cursor.h"
#include "gguf/names.h"
#include "gguf/tensor.h"
#include "gguf/value.h"

namespace qk::gguf {

inline constexpr int64_t kMaxEntries = 262144;  // keys, and tensors
inline constexpr uint32_t kDefaultAlignment = 32;

enum class Access : uint8_t { kMap, kCopy };  // map the file, or read all of it into memory

class Reader {
 public:
  static Status open(const char* path, Access access, Reader* out);

  // Reads a file that lies in memory already; `data` must outlive *out.
  static Status parse(const uint8_t* data, int64_t size, Reader* out);

  uint32_t version() const { return version_; }
  uint32_t alignment() const { return alignment_; }
  const uint8_t* data() const { return data_; }
  int64_t size() const { return size_; }

  const Names& keys() const { return keys_; }
  const Value& value(int64_t key) const { return values_[static_cast<size_t>(key)]; }

  const Names& tensor_names() const { return tensor_names_; }
  const Tensor& tensor(int64_t index) const { return tensors_[static_cast<size_t>(index)]; }

  // ValueError for a mapped file that has shrunk since it was opened: touching the names, values
  // and tensors past its end would be a bus error.
  Status check_size() const { return file_.check_size(); }

  // Where a tensor's bytes lie. ValueError for a type without contents here, and as check_size().
  Status bytes_of(int64_t tensor, const uint8_t** out) const;

 private:
  Status read_keys(Cursor& cursor, uint64_t count);
  Status read_alignment();
  Status read_tensors(Cursor& cursor, uint64_t count);
  Status read_depths();

  MappedFile file_;
  const uint8_t* data_ = nullptr;
  int64_t size_ = 0;
  uint32_t version_ = 0;
  uint32_t alignment_ = kDefaultAlignment;
  Names keys_;
  std::vector<Value> values_;
  Names tensor_names_;
  std::vector<Tensor> tensors_;
};

}  // namespace qk::gguf
