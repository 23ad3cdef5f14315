// A GGUF file, opened: its head has been walked from end to end, every length and count in it was
// checked against what is left of the file, and nothing has been turned into an object yet. What
// cannot be walked is refused. An entry that can be walked and makes no sense (a type, a shape, a
// place outside the file, a depth) is refused when it is asked for, and costs the others nothing.
//
// Counts have no bound but the file's: nothing is reserved for entries before they were read, and
// each takes a small multiple of its own bytes.
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
#include <span>
#include <string_view>
#include <vector>

#include "core/os.h"
#include "core/status.h"
#include "gguf/cursor.h"
#include "gguf/names.h"
#include "gguf/tensor.h"
#include "gguf/value.h"

namespace qk::gguf {

inline constexpr uint32_t kDefaultAlignment = 32;

enum class Access : uint8_t { kMap, kCopy };  // map the file, or read all of it into memory

class Reader {
 public:
  static Status open(const char* path, Access access, Reader* out);

  // Reads a file that lies in memory already; `data` must outlive *out.
  static Status parse(const uint8_t* data, int64_t size, Reader* out);

  uint32_t version() const { return version_; }
  uint32_t alignment() const { return alignment_; }
  int64_t data_begin() const { return region_.start; }  // where the tensors' data starts
  const uint8_t* data() const { return data_; }
  int64_t size() const { return size_; }

  const Names& keys() const { return keys_; }
  const Value& value(int64_t key) const { return values_[static_cast<size_t>(key)]; }

  const Names& tensor_names() const { return tensor_names_; }
  const Tensor& tensor(int64_t index) const { return tensors_[static_cast<size_t>(index)]; }

  // Empty for a tensor of more dimensions than are kept.
  Extents extents(int64_t index) const;

  // Where a tensor begins, from the start of the file; INT64_MAX past that.
  int64_t begin_of(int64_t index) const;

  // Why a tensor cannot be handed out, whatever its type; ok for one that can.
  Status fault_of(int64_t index) const;

  // ValueError for a mapped file that has shrunk since it was opened: touching the names, values
  // and tensors past its end would be a bus error.
  Status check_size() const { return file_.check_size(); }

  // Where a tensor's bytes lie. ValueError for a type without contents here, as fault_of(), and as
  // check_size().
  Status bytes_of(int64_t tensor, const uint8_t** out) const;

  // The bytes of a tensor of any type. Where the type's size is unknown they reach to the next
  // tensor, or to the end of the file.
  Status raw_bytes_of(int64_t tensor, std::span<const uint8_t>* out) const;

 private:
  Status read_keys(Cursor& cursor, uint64_t count);
  Status read_alignment();
  Status read_tensors(Cursor& cursor, uint64_t count);
  Status read_depth(int64_t key, int64_t tensor, Tensor* out) const;
  void read_depths();

  MappedFile file_;
  const uint8_t* data_ = nullptr;
  int64_t size_ = 0;
  uint32_t version_ = 0;
  uint32_t alignment_ = kDefaultAlignment;
  Names keys_;
  std::vector<Value> values_;
  Names tensor_names_;
  std::vector<Tensor> tensors_;
  std::vector<int64_t> extents_;  // of all tensors
  DataRegion region_;
  std::vector<uint64_t> offsets_;  // of all tensors, sorted, where some type's size is unknown
};

}  // namespace qk::gguf
