#include "gguf/value.h"

#include <cstdio>
#include <utility>
#include <vector>

namespace qk::gguf {
namespace {

struct TypeRow {
  const char* name;
  int64_t size;
};

constexpr TypeRow kTypes[] = {
    {"uint8", 1},  {"int8", 1},    {"uint16", 2},  {"int16", 2},  {"uint32", 4},
    {"int32", 4},  {"float32", 4}, {"bool", 1},    {"string", 0}, {"array", 0},
    {"uint64", 8}, {"int64", 8},   {"float64", 8},
};
static_assert(sizeof(kTypes) / sizeof(kTypes[0]) == kValueTypes);

Status read_strings(Cursor& cursor, std::string_view key, const Value& value) {
  std::string_view text;
  for (int64_t i = 0; i < value.count; ++i) {
    if (cursor.read_text(&text)) continue;
    char what[48];
    std::snprintf(what, sizeof(what), "string %lld of key", ll(i));
    return cursor.failure(what, key);
  }
  return {};
}

// The fewest bytes of an element: a string has its length at least, an array its head.
int64_t least_size(ValueType type) {
  switch (type) {
    case ValueType::kString: return 8;
    case ValueType::kArray: return 4 + 8;
    default: return size_of(type);
  }
}

// The element type and count of an array, into *out.
Status read_array_head(Cursor& cursor, std::string_view key, Value* out) {
  uint32_t type;
  uint64_t count;
  if (!cursor.read(&type) || !cursor.read(&count)) return cursor.failure("key", key);
  if (type >= kValueTypes) {
    return Status::value_error("key %s is an array of the unknown value type %u",
                               Quoted(key).text(), type);
  }
  out->type = static_cast<ValueType>(type);
  out->is_array = true;
  // What is left is divided: a product could overflow.
  const int64_t least = least_size(out->type);
  if (std::cmp_greater(count, cursor.left() / least)) {
    return Status::value_error("key %s is an array of %llu %s values, with %lld bytes left%s",
                               Quoted(key).text(), static_cast<unsigned long long>(count),
                               name_of(out->type), ll(cursor.left()), cursor.limit());
  }
  out->count = static_cast<int64_t>(count);
  return {};
}

// Walks the elements at the cursor, which are no arrays.
Status skip_elements(Cursor& cursor, std::string_view key, const Value& value) {
  if (value.type == ValueType::kString) return read_strings(cursor, key, value);
  if (cursor.skip(static_cast<uint64_t>(value.count * size_of(value.type)))) return {};
  return cursor.failure("key", key);
}

// Walks `count` arrays at the cursor. What is still to come at each depth is kept, 8 bytes for the
// 12 or more that an array's head takes.
Status skip_arrays(Cursor& cursor, std::string_view key, int64_t count) {
  std::vector<int64_t> to_come = {count};
  while (!to_come.empty()) {
    if (to_come.back() == 0) {
      to_come.pop_back();
      continue;
    }
    --to_come.back();
    Value inner;
    QK_TRY(read_array_head(cursor, key, &inner));
    if (inner.type == ValueType::kArray) {
      to_come.push_back(inner.count);
    } else {
      QK_TRY(skip_elements(cursor, key, inner));
    }
  }
  return {};
}

template <class T>
int64_t load(const Value& value) {
  T number;
  std::memcpy(&number, value.data, sizeof(number));
  return static_cast<int64_t>(number);
}

}  // namespace

const char* name_of(ValueType type) { return kTypes[static_cast<uint32_t>(type)].name; }

int64_t size_of(ValueType type) { return kTypes[static_cast<uint32_t>(type)].size; }

Status read_value(Cursor& cursor, uint32_t type, std::string_view key, Value* out) {
  if (type >= kValueTypes) {
    return Status::value_error("key %s has the unknown value type %u", Quoted(key).text(), type);
  }
  Value value;
  value.type = static_cast<ValueType>(type);
  if (value.type == ValueType::kArray) QK_TRY(read_array_head(cursor, key, &value));
  value.data = cursor.here();
  const int64_t start = cursor.position();
  if (value.type == ValueType::kArray) {
    QK_TRY(skip_arrays(cursor, key, value.count));
  } else {
    QK_TRY(skip_elements(cursor, key, value));
  }
  value.size = cursor.position() - start;
  *out = value;
  return {};
}

Status Arrays::next(std::string_view key, Value* out) {
  return read_value(rest_, static_cast<uint32_t>(ValueType::kArray), key, out);
}

Status to_integer(const Value& value, std::string_view key, int64_t* out) {
  if (!value.is_array) {
    switch (value.type) {
      case ValueType::kUint8: *out = load<uint8_t>(value); return {};
      case ValueType::kInt8: *out = load<int8_t>(value); return {};
      case ValueType::kUint16: *out = load<uint16_t>(value); return {};
      case ValueType::kInt16: *out = load<int16_t>(value); return {};
      case ValueType::kUint32: *out = load<uint32_t>(value); return {};
      case ValueType::kInt32: *out = load<int32_t>(value); return {};
      case ValueType::kInt64: *out = load<int64_t>(value); return {};
      case ValueType::kUint64:
        *out = load<uint64_t>(value);
        if (*out >= 0) return {};
        return Status::value_error("key %s is %llu, which passes 2^63", Quoted(key).text(),
                                   static_cast<unsigned long long>(*out));
      default: break;
    }
  }
  return Status::value_error("key %s is %s %s; expected an integer", Quoted(key).text(),
                             value.is_array ? "an array of" : "a", name_of(value.type));
}

}  // namespace qk::gguf
