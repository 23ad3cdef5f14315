// Metadata values: where one lies and what it is, without turning it into an object.
//
//   scalar   the value itself, 1, 2, 4 or 8 bytes
//   bool     one byte; anything but 0 is true
//   string   uint64 length | bytes
//   array    uint32 element type | uint64 count | the elements, each as above
//
// An array of arrays repeats that head for each element. It is walked without recursion, however
// deep it nests, and becomes an object where that is at most kMostNesting.
#pragma once

#include <cstdint>
#include <string_view>

#include "core/status.h"
#include "gguf/cursor.h"

namespace qk::gguf {

enum class ValueType : uint8_t {
  kUint8 = 0,
  kInt8 = 1,
  kUint16 = 2,
  kInt16 = 3,
  kUint32 = 4,
  kInt32 = 5,
  kFloat32 = 6,
  kBool = 7,
  kString = 8,
  kArray = 9,
  kUint64 = 10,
  kInt64 = 11,
  kFloat64 = 12,
};
inline constexpr uint32_t kValueTypes = 13;
inline constexpr int64_t kMostNesting = 64;  // arrays in arrays that become objects

// The type's name as GGUF writes it, such as "uint8".
const char* name_of(ValueType type);

// The bytes of a number or bool; 0 for strings and arrays.
int64_t size_of(ValueType type);

struct Value {
  ValueType type = ValueType::kUint8;  // of the elements, where is_array
  bool is_array = false;
  int64_t count = 1;              // elements
  const uint8_t* data = nullptr;  // the first element
  int64_t size = 0;               // bytes of all elements

  // The value as the file has it, from the id of its type on.
  const uint8_t* raw() const { return data - head_bytes(); }
  int64_t raw_size() const { return head_bytes() + size; }

 private:
  // The type's id; of an array, those of its elements and their count behind it.
  int64_t head_bytes() const { return is_array ? 4 + 4 + 8 : 4; }
};

// Walks the value of type id `type` at the cursor and leaves the cursor behind it; every length and
// count in it is checked.
Status read_value(Cursor& cursor, uint32_t type, std::string_view key, Value* out);

// The arrays of a Value of type kArray, one after the other, each checked like any value.
class Arrays {
 public:
  explicit Arrays(const Value& value) : rest_(value.data, value.size) {}
  Status next(std::string_view key, Value* out);

 private:
  Cursor rest_;
};

// An integer of any width; ValueError where the value is something else or passes int64.
Status to_integer(const Value& value, std::string_view key, int64_t* out);

// The strings of a Value of type kString, one after the other. Lengths are checked once more: a
// mapped file can change after it was read.
class Strings {
 public:
  explicit Strings(const Value& value) : rest_(value.data, value.size) {}

  // False where a length passes the end of the value.
  bool next(std::string_view* out) { return rest_.read_text(out); }

 private:
  Cursor rest_;
};

}  // namespace qk::gguf
