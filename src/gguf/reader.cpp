#include "gguf/reader.h"

#include <algorithm>
#include <limits>
#include <utility>

#include "core/checked.h"
#include "gguf/types.h"

namespace qk::gguf {
namespace {

constexpr int64_t kHeaderBytes = 24;
constexpr int64_t kLeastKey = 8 + 4 + 1;         // an empty name and a bool
constexpr int64_t kLeastTensor = 8 + 4 + 4 + 8;  // an empty name and no dimensions
constexpr size_t kReserved = 4096;               // entries that are made room for at once
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
                               ll(cursor.left()), ll(kHeaderBytes));
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

// Checks a count of the header against the bytes that could hold as many.
Status check_count(const Cursor& cursor, uint64_t count, int64_t least, const char* what) {
  const auto promised = static_cast<unsigned long long>(count);
  if (std::cmp_greater(count, cursor.left() / least)) {
    return Status::value_error("the header promises %llu %s, with %lld bytes left%s", promised,
                               what, ll(cursor.left()), cursor.limit());
  }
  return {};
}

// Appends a name. A run of one name, which a hole in a file is read as, is refused at once, so that
// it takes no memory.
Status add_name(std::string_view name, const char* what, Names* names) {
  if (names->size() > 0 && (*names)[names->size() - 1] == name) {
    return Status::value_error("%s %s occurs twice", what, Quoted(name).text());
  }
  names->add(name);
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
  reader.read_depths();
  *out = std::move(reader);
  return {};
}

Status Reader::read_keys(Cursor& cursor, uint64_t count) {
  QK_TRY(check_count(cursor, count, kLeastKey, "keys"));
  values_.reserve(std::min<size_t>(count, kReserved));
  for (uint64_t i = 0; i < count; ++i) {
    std::string_view key;
    if (!cursor.read_text(&key)) return cursor.failure("a key's name");
    uint32_t type;
    if (!cursor.read(&type)) return cursor.failure("key", key);
    Value value;
    QK_TRY(read_value(cursor, type, key, &value));
    values_.push_back(value);
    QK_TRY(add_name(key, "key", &keys_));
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
    return Status::value_error("general.alignment is %lld; expected a power of two", ll(alignment));
  }
  alignment_ = static_cast<uint32_t>(alignment);
  return {};
}

Status Reader::read_tensors(Cursor& cursor, uint64_t count) {
  QK_TRY(check_count(cursor, count, kLeastTensor, "tensors"));
  tensors_.reserve(std::min<size_t>(count, kReserved));
  for (uint64_t i = 0; i < count; ++i) {
    std::string_view name;
    Tensor tensor;
    QK_TRY(read_tensor(cursor, &name, &tensor, &extents_));
    tensors_.push_back(tensor);
    QK_TRY(add_name(name, "tensor", &tensor_names_));
  }
  if (const int64_t twice = tensor_names_.seal(); twice >= 0) {
    return Status::value_error("tensor %s occurs twice", Quoted(tensor_names_[twice]).text());
  }
  // At most 2^28 rounded up to a multiple of at most 2^31.
  const int64_t start = ceil_div(cursor.position(), alignment_) * alignment_;
  region_ = {start, alignment_, size_};
  bool is_unknown = false;
  for (int64_t i = 0; i < tensor_names_.size(); ++i) {
    Tensor& tensor = tensors_[static_cast<size_t>(i)];
    tensor.is_sound = examine(region_, tensor_names_[i], extents(i), &tensor).ok();
    is_unknown = is_unknown || (tensor.is_sound && tensor.nbytes < 0);
  }
  if (is_unknown) {
    for (const Tensor& tensor : tensors_) offsets_.push_back(tensor.offset);
    std::ranges::sort(offsets_);
  }
  return {};
}

Status Reader::read_depth(int64_t key, int64_t tensor, Tensor* out) const {
  int64_t k = 0;
  QK_TRY(to_integer(value(key), keys_[key], &k));
  return set_depth(keys_[key], k, extents(tensor), out);
}

void Reader::read_depths() {
  for (int64_t i = 0; i < keys_.size(); ++i) {
    const std::string_view key = keys_[i];
    if (!key.starts_with(kDepthPrefix)) continue;
    const int64_t index = tensor_names_.find(key.substr(kDepthPrefix.size()));
    if (index < 0) continue;  // a tensor that was left out of the file harms nobody
    Tensor& tensor = tensors_[static_cast<size_t>(index)];
    if (!tensor.is_sound) continue;
    tensor.depth_key = i;
    tensor.is_sound = read_depth(i, index, &tensor).ok();
  }
}

Extents Reader::extents(int64_t index) const {
  const Tensor& entry = tensor(index);
  if (entry.ndim > kMaxTensorDims) return {};
  return Extents(extents_).subspan(static_cast<size_t>(entry.extents), entry.ndim);
}

int64_t Reader::begin_of(int64_t index) const {
  auto begin = static_cast<int64_t>(tensor(index).offset);
  const bool fits = begin >= 0 && checked_add(region_.start, begin, &begin);
  return fits ? begin : std::numeric_limits<int64_t>::max();
}

Status Reader::fault_of(int64_t index) const {
  Tensor entry = tensor(index);
  if (entry.is_sound) return {};
  QK_TRY(examine(region_, tensor_names_[index], extents(index), &entry));
  return read_depth(entry.depth_key, index, &entry);
}

Status Reader::bytes_of(int64_t tensor, const uint8_t** out) const {
  std::span<const uint8_t> bytes;
  QK_TRY(raw_bytes_of(tensor, &bytes));
  const uint32_t type = this->tensor(tensor).type;
  if (!tensor_type(type).is_readable()) return unreadable(tensor_names_[tensor], type);
  *out = bytes.data();
  return {};
}

Status Reader::raw_bytes_of(int64_t tensor, std::span<const uint8_t>* out) const {
  QK_TRY(check_size());
  QK_TRY(fault_of(tensor));
  const Tensor& entry = this->tensor(tensor);
  if (entry.nbytes == 0) {
    *out = {data_, 0};
    return {};
  }
  const int64_t begin = begin_of(tensor);
  int64_t size = entry.nbytes;
  if (size < 0) {
    size = size_ - begin;
    const auto next = std::ranges::upper_bound(offsets_, entry.offset);
    if (next != offsets_.end() && std::cmp_less(*next - entry.offset, size)) {
      size = static_cast<int64_t>(*next - entry.offset);
    }
  }
  *out = {data_ + begin, static_cast<size_t>(size)};
  return {};
}

}  // namespace qk::gguf
