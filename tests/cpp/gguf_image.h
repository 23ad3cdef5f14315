// GGUF files in memory, put together value by value, right or wrong.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "gguf/value.h"

namespace qk::test {

using gguf::ValueType;

// Appends values as GGUF lays them out.
class Image {
 public:
  Image(uint64_t tensors, uint64_t keys) { raw("GGUF").u32(3).u64(tensors).u64(keys); }

  Image& raw(std::string_view bytes) {
    bytes_.append(bytes);
    return *this;
  }
  template <class T>
  Image& number(T value) {
    return raw({reinterpret_cast<const char*>(&value), sizeof(value)});
  }
  Image& u32(uint32_t value) { return number(value); }
  Image& u64(uint64_t value) { return number(value); }
  Image& text(std::string_view value) { return u64(value.size()).raw(value); }
  Image& key(std::string_view name, ValueType type) {
    return text(name).u32(static_cast<uint32_t>(type));
  }
  Image& array(std::string_view name, ValueType element, uint64_t count) {
    return key(name, ValueType::kArray).u32(static_cast<uint32_t>(element)).u64(count);
  }
  Image& tensor(std::string_view name, const std::vector<uint64_t>& ne, uint32_t type,
                uint64_t offset) {
    text(name).u32(static_cast<uint32_t>(ne.size()));
    for (const uint64_t extent : ne) u64(extent);
    return u32(type).u64(offset);
  }
  Image& pad(size_t alignment) {
    bytes_.resize((bytes_.size() + alignment - 1) / alignment * alignment);
    return *this;
  }
  Image& zeros(size_t count) {
    bytes_.resize(bytes_.size() + count);
    return *this;
  }
  const std::string& bytes() const { return bytes_; }

 private:
  std::string bytes_;
};

inline constexpr uint32_t kF32 = 0;
inline constexpr uint32_t kQ80 = 8;
inline constexpr uint32_t kQ4K = 12;
inline constexpr uint32_t kRemoved = 31;

}  // namespace qk::test
