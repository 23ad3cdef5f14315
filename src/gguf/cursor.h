// A bounds-checked reader of little-endian values over the head of a GGUF file.
//
// A read that does not fit returns false, leaves the cursor where it is, and is remembered, so that
// failure() can name the bytes that were wanted. Reads return bool and not Status because a model's
// metadata holds a hundred thousand strings.
#pragma once

#include <bit>
#include <cstdint>
#include <cstring>
#include <string_view>
#include <utility>

#include "core/status.h"

namespace qk::gguf {

static_assert(std::endian::native == std::endian::little, "values are copied as they lie");

inline constexpr int64_t kMaxMetadata = int64_t{256} << 20;  // everything before a file's data

class Cursor {
 public:
  // Reads stop at kMaxMetadata, or at the end of the file where that comes first.
  Cursor(const uint8_t* data, int64_t file_size)
      : data_(data),
        file_size_(file_size),
        end_(file_size < kMaxMetadata ? file_size : kMaxMetadata) {}

  int64_t position() const { return position_; }
  int64_t left() const { return end_ - position_; }
  const uint8_t* here() const { return data_ + position_; }

  template <class T>
  bool read(T* out) {
    if (!fits(sizeof(T))) return false;
    std::memcpy(out, here(), sizeof(T));
    position_ += static_cast<int64_t>(sizeof(T));
    return true;
  }

  bool skip(uint64_t bytes) {
    if (!fits(bytes)) return false;
    position_ += static_cast<int64_t>(bytes);
    return true;
  }

  // A string: uint64 length, then that many bytes of no particular encoding.
  bool read_text(std::string_view* out) {
    const int64_t start = position_;
    uint64_t length;
    if (!read(&length)) return false;
    if (!fits(length)) {
      position_ = start;
      return false;
    }
    *out = {reinterpret_cast<const char*>(here()), static_cast<size_t>(length)};
    position_ += static_cast<int64_t>(length);
    return true;
  }

  // What left() is cut by, as the end of a sentence about it; empty for the end of the file.
  const char* limit() const { return end_ < file_size_ ? " of the 256 MiB of metadata" : ""; }

  // Why the last read failed; `what` and `name` say what was being read, as in "key" and
  // "general.name".
  Status failure(const char* what, std::string_view name) const;
  Status failure(const char* what) const;

 private:
  bool fits(uint64_t bytes) {
    if (std::cmp_less_equal(bytes, left())) return true;
    wanted_ = bytes;
    wanted_at_ = position_;
    return false;
  }

  const uint8_t* data_;
  int64_t file_size_;
  int64_t end_;
  int64_t position_ = 0;
  uint64_t wanted_ = 0;
  int64_t wanted_at_ = 0;
};

// A name out of a file, made fit for a message: quoted, in printable ASCII, cut where it is long.
class Quoted {
 public:
  explicit Quoted(std::string_view name);
  const char* text() const { return text_; }

 private:
  char text_[100];
};

}  // namespace qk::gguf
