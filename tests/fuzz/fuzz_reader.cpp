// Any bytes at all as a GGUF file: they are refused with a message, or everything that the reader
// says is there can be read, or says with a message why it cannot. The bytes lie in memory of their
// exact size, under AddressSanitizer.
#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>
#include <string_view>

#include "core/checked.h"
#include "finding.h"
#include "gguf/reader.h"
#include "gguf/types.h"

namespace qk::gguf {
namespace {

// What has been read goes here, so that no read is optimised away.
volatile uint64_t sum = 0;

void touch(const uint8_t* data, int64_t size) {
  uint64_t total = 0;
  for (int64_t i = 0; i < size; ++i) total += data[i];
  sum = sum + total;
}

void check_message(const Status& status) {
  QK_FINDING_UNLESS(status.code == Code::kValue, "code %d", static_cast<int>(status.code));
  const std::string_view message = status.message;
  QK_FINDING_UNLESS(!message.empty(), "no message");
  for (const char c : message) {
    QK_FINDING_UNLESS(c >= 0x20 && c < 0x7f, "a message that cannot be printed: %s",
                      message.data());
  }
}

void check_inside(const Reader& reader, const uint8_t* data, int64_t size, const char* what) {
  const bool inside = size >= 0 && data >= reader.data() && size <= reader.size() &&
                      data - reader.data() <= reader.size() - size;
  QK_FINDING_UNLESS(inside, "a %s of %lld bytes outside the file", what,
                    static_cast<long long>(size));
  touch(data, size);
}

// Every string and number in an array of arrays, as deep as they become objects.
void walk_arrays(const Reader& reader, std::string_view key, const Value& value, int64_t depth) {
  Arrays arrays(value);
  for (int64_t i = 0; i < value.count && depth < kMostNesting; ++i) {
    Value inner;
    QK_FINDING_UNLESS(arrays.next(key, &inner).ok(), "array %lld is missing",
                      static_cast<long long>(i));
    check_inside(reader, inner.raw(), inner.raw_size(), "array");
    if (inner.type == ValueType::kArray) walk_arrays(reader, key, inner, depth + 1);
  }
}

void walk_keys(const Reader& reader) {
  for (int64_t i = 0; i < reader.keys().size(); ++i) {
    const std::string_view key = reader.keys()[i];
    QK_FINDING_UNLESS(reader.keys().find(key) == i, "key %lld is not found",
                      static_cast<long long>(i));
    const Value& value = reader.value(i);
    check_inside(reader, value.raw(), value.raw_size(), "value");
    if (value.type == ValueType::kArray) walk_arrays(reader, key, value, 0);
    int64_t number = 0;
    if (const Status status = to_integer(value, key, &number); !status.ok()) check_message(status);
    if (value.type != ValueType::kString) continue;
    Strings strings(value);
    std::string_view text;
    for (int64_t s = 0; s < value.count; ++s) {
      QK_FINDING_UNLESS(strings.next(&text), "string %lld is missing", static_cast<long long>(s));
    }
    QK_FINDING_UNLESS(!strings.next(&text), "a string more than counted: %zu bytes", text.size());
  }
}

void walk_tensors(const Reader& reader) {
  for (int64_t i = 0; i < reader.tensor_names().size(); ++i) {
    QK_FINDING_UNLESS(reader.tensor_names().find(reader.tensor_names()[i]) == i,
                      "tensor %lld is not found", static_cast<long long>(i));
    const Tensor& tensor = reader.tensor(i);
    const Extents ne = reader.extents(i);
    const Status fault = reader.fault_of(i);
    QK_FINDING_UNLESS(fault.ok() == tensor.is_sound, "a fault that comes and goes: %s",
                      fault.message);
    std::span<const uint8_t> raw;
    if (!fault.ok()) {
      check_message(fault);
      QK_FINDING_UNLESS(!reader.raw_bytes_of(i, &raw).ok(), "bytes of a tensor at fault: %zu",
                        raw.size());
      continue;
    }
    QK_FINDING_UNLESS(reader.raw_bytes_of(i, &raw).ok(), "no bytes of tensor %lld",
                      static_cast<long long>(i));
    check_inside(reader, raw.data(), static_cast<int64_t>(raw.size()), "tensor of any type");
    const int64_t depth = ne.empty() ? 1 : ne[0];
    QK_FINDING_UNLESS(tensor.k >= std::min<int64_t>(depth, 1) && tensor.k <= depth,
                      "k=%lld of a row of %lld", static_cast<long long>(tensor.k),
                      static_cast<long long>(depth));
    const uint8_t* data = nullptr;
    if (const Status status = reader.bytes_of(i, &data); !status.ok()) {
      check_message(status);
      continue;
    }
    check_inside(reader, data, tensor.nbytes, "tensor");
    const TensorType type = tensor_type(tensor.type);
    int64_t rows = 1;
    bool is_empty = depth == 0;
    for (const int64_t extent : ne.empty() ? ne : ne.subspan(1)) {
      is_empty = is_empty || extent == 0;
      rows = is_empty ? 0 : rows * extent;
    }
    QK_FINDING_UNLESS(tensor.nbytes == ceil_div(tensor.k, type.block) * type.bytes * rows,
                      "%lld bytes in %lld rows of k=%lld", static_cast<long long>(tensor.nbytes),
                      static_cast<long long>(rows), static_cast<long long>(tensor.k));
  }
}

}  // namespace
}  // namespace qk::gguf

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, std::size_t size) {
  qk::gguf::Reader reader;
  const qk::Status status = qk::gguf::Reader::parse(data, static_cast<int64_t>(size), &reader);
  if (!status.ok()) {
    qk::gguf::check_message(status);
    return 0;
  }
  qk::gguf::walk_keys(reader);
  qk::gguf::walk_tensors(reader);
  return 0;
}
