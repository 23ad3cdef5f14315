#include "gguf/reader.h"

#include <utility>

#include "core/checked.h"
#include "gguf/types.h"

namespace qk::gguf {
namespace {

constexpr int64_t kHeaderBytes = 24;
constexpr int64_t kLeastKey = 8 + 4 + 1;             // an empty name and a bool
constexpr int64_t kLeastTensor = 8 + 4 + 8 + 4 + 8;  // an empty name and one dimension
constexpr std::string_view kAlignmentKey = "general.alignment";
constexpr std::string_view kDepthPrefix = "qkernels.k.";

struct Header {
  char magic[4];
  uint32_t version;
  uint64_t tensors;
  uint64_t keys;
};
static_assert(sizeof(Header) == kHeaderBytes);

Status read_header(Cursor& cursor, Header* out) {
  if (!cursor.read(out)) {
    return Status::value_error("not a GGUF file: it has %lld bytes, and a GGUF header %lld",
                               static_cast<long long>(cursor.left()),
                               static_cast<long long>(kHeaderBytes));
  }
  const std::string_view magic(out->magic, sizeof(out->magic));
  if (magic != "GGUF") {
    return Status::value_error("not a GGUF file: it starts with %s", Quoted(magic).text());
  }
  // Versions are small numbers: one with an empty low half was written the other way round.
  if (out->version != 0 && (out->version & 0xffffu) == 0) {
    return Status::value_error("a big-endian GGUF file (version %u); qkernels reads little-endian",
                               __builtin_bswap32(out->version));
  }
  if (out->version != 2 && out->version != 3) {
    return Status::value_error("GGUF version %u; qkernels reads versions 2 and 3", out->version);
  }
  return {};
}

// Checks a count of the header before anything is allocated for it.
Status check_count(const Cursor& cursor, uint64_t count, int64_t least, const char* what) {
  const auto promised = static_cast<unsigned long long>(count);
  if (count > static_cast<uint64_t>(kMaxEntries)) {
    return Status::value_error("the header promises %llu %s; qkernels reads at most %lld", promised,
                               what, static_cast<long long>(kMaxEntries));
  }
  if (std::cmp_greater(count, cursor.left() / least)) {
    return Status::value_error("the header promises %llu %s, with %lld bytes left%s", promised,
                               what, static_cast<long long>(cursor.left()), cursor.limit());
  }
  return {};
}

}  // namespace

Status Reader::open(const char* path, Access access, Reader* out) {
  MappedFile file;
  QK_TRY(access == Access::kMap ? MappedFile::open(path, &file) : MappedFile::read(path, &file));
  Reader reader;
  QK_TRY(parse(file.data(), file.size(), &reader));
  reader.file_ = std::move(file);
  QK_TRY(reader.check_size());  // what was parsed was there
  *out = std::move(reader);
  return {};
}

Status Reader::parse(const uint8_t* data, int64_t size, Reader* out) {
  Reader reader;
  reader.data_ = data;
  reader.size_ = size;
  Cursor cursor(data, size);
  Header header = {};
  QK_TRY(read_header(cursor, &header));
  reader.version_ = header.version;
  QK_TRY(reader.read_keys(cursor, header.keys));
  QK_TRY(reader.read_alignment());
  QK_TRY(reader.read_tensors(cursor, header.tensors));
  QK_TRY(reader.read_depths());
  *out = std::move(reader);
  return {};
}

Status Reader::read_keys(Cursor& cursor, uint64_t count) {
  QK_TRY(check_count(cursor, count, kLeastKey, "keys"));
  keys_.reserve(static_cast<int64_t>(count));
  values_.resize(static_cast<size_t>(count));
  for (Value& value : values_) {
    std::string_view key;
    if (!cursor.read_text(&key)) return cursor.failure("a key's name");
    uint32_t type;
    if (!cursor.read(&type)) return cursor.failure("key", key);
    QK_TRY(read_value(cursor, type, key, &value));
    keys_.add(key);
  }
  if (const int64_t twice = keys_.seal(); twice >= 0) {
    return Status::value_error("key %s occurs twice", Quoted(keys_[twice]).text());
  }
  return {};
}

Status Reader::read_alignment() {
  const int64_t key = keys_.find(kAlignmentKey);
  if (key < 0) return {};
  const Value& stored = value(key);
  if (stored.is_array || stored.type != ValueType::kUint32) {
    return Status::value_error("general.alignment is %s %s; expected a uint32",
                               stored.is_array ? "an array of" : "a", name_of(stored.type));
  }
  int64_t alignment = 0;
  QK_TRY(to_integer(stored, kAlignmentKey, &alignment));
  if (alignment == 0 || (alignment & (alignment - 1)) != 0) {
    return Status::value_error("general.alignment is %lld; expected a power of two",
                               static_cast<long long>(alignment));
  }
  alignment_ = static_cast<uint32_t>(alignment);
  return {};
}

Status Reader::read_tensors(Cursor& cursor, uint64_t count) {
  QK_TRY(check_count(cursor, count, kLeastTensor, "tensors"));
  tensor_names_.reserve(static_cast<int64_t>(count));
  tensors_.resize(static_cast<size_t>(count));
  for (Tensor& tensor : tensors_) {
    std::string_view name;
    QK_TRY(read_tensor(cursor, &name, &tensor));
    tensor_names_.add(name);
  }
  if (const int64_t twice = tensor_names_.seal(); twice >= 0) {
    return Status::value_error("tensor %s occurs twice", Quoted(tensor_names_[twice]).text());
  }
  DataRegion region{0, alignment_, size_};
  // At most 2^28 rounded up to a multiple of at most 2^31.
  region.start = ceil_div(cursor.position(), alignment_) * alignment_;
  for (int64_t i = 0; i < tensor_names_.size(); ++i) {
    QK_TRY(place(region, tensor_names_[i], &tensors_[static_cast<size_t>(i)]));
  }
  return {};
}

Status Reader::read_depths() {
  for (int64_t i = 0; i < keys_.size(); ++i) {
    const std::string_view key = keys_[i];
    if (!key.starts_with(kDepthPrefix)) continue;
    const int64_t index = tensor_names_.find(key.substr(kDepthPrefix.size()));
    if (index < 0) continue;  // a tensor that was left out of the file harms nobody
    int64_t k = 0;
    QK_TRY(to_integer(value(i), key, &k));
    QK_TRY(set_depth(key, k, &tensors_[static_cast<size_t>(index)]));
  }
  return {};
}

Status Reader::bytes_of(int64_t tensor, const uint8_t** out) const {
  QK_TRY(check_size());
  const Tensor& entry = this->tensor(tensor);
  if (!tensor_type(entry.type).is_readable()) {
    return unreadable(tensor_names_[tensor], entry.type);
  }
  *out = data_ + entry.offset;
  return {};
}

}  // namespace qk::gguf
