#include "gguf/tensor.h"

#include <cstdio>

#include "core/checked.h"
#include "gguf/types.h"

namespace qk::gguf {
namespace {

// "[576, 49152]", in the file's order.
class ShapeText {
 public:
  explicit ShapeText(const Tensor& tensor) {
    size_t used = 0;
    for (int d = 0; d < tensor.ndim; ++d) {
      used += static_cast<size_t>(std::snprintf(text_ + used, sizeof(text_) - used, "%s%lld",
                                                d == 0 ? "[" : ", ",
                                                static_cast<long long>(tensor.ne[d])));
    }
    std::snprintf(text_ + used, sizeof(text_) - used, "]");
  }
  const char* text() const { return text_; }

 private:
  char text_[96];  // four numbers of at most 19 digits
};

Status read_shape(Cursor& cursor, std::string_view name, Tensor* out) {
  uint32_t ndim;
  if (!cursor.read(&ndim)) return cursor.failure("tensor", name);
  if (ndim < 1 || ndim > kMaxTensorDims) {
    return Status::value_error("tensor %s has %u dimensions; expected 1 to %d", Quoted(name).text(),
                               ndim, kMaxTensorDims);
  }
  out->ndim = static_cast<int>(ndim);
  int64_t elements = 1;
  for (int d = 0; d < out->ndim; ++d) {
    if (!cursor.read(&out->ne[d])) return cursor.failure("tensor", name);
    if (out->ne[d] < 1) {
      return Status::value_error(
          "tensor %s has %llu elements in dimension %d; expected 1 or more, "
          "below 2^63",
          Quoted(name).text(), static_cast<unsigned long long>(out->ne[d]), d);
    }
  }
  for (const int64_t extent : out->ne) {
    if (checked_mul(elements, extent, &elements)) continue;
    return Status::value_error("tensor %s of shape %s has 2^63 elements or more",
                               Quoted(name).text(), ShapeText(*out).text());
  }
  out->k = out->ne[0];
  return {};
}

// The bytes of all rows.
Status size_up(const TensorType& type, std::string_view name, Tensor* tensor) {
  if (tensor->ne[0] % type.block != 0) {
    return Status::value_error(
        "tensor %s has rows of %lld weights, no multiple of the %d in a %s "
        "block",
        Quoted(name).text(), static_cast<long long>(tensor->ne[0]), type.block, type.name);
  }
  int64_t bytes = tensor->ne[0] / type.block;
  for (const int64_t factor : {int64_t{type.bytes}, tensor->ne[1], tensor->ne[2], tensor->ne[3]}) {
    if (checked_mul(bytes, factor, &bytes)) continue;
    return Status::value_error("tensor %s of shape %s in %s has 2^63 bytes or more",
                               Quoted(name).text(), ShapeText(*tensor).text(), type.name);
  }
  tensor->nbytes = bytes;
  return {};
}

}  // namespace

Status read_tensor(Cursor& cursor, std::string_view* name, Tensor* out) {
  if (!cursor.read_text(name)) return cursor.failure("a tensor's name");
  Tensor tensor;
  QK_TRY(read_shape(cursor, *name, &tensor));
  if (!cursor.read(&tensor.type) || !cursor.read(&tensor.offset)) {
    return cursor.failure("tensor", *name);
  }
  *out = tensor;
  return {};
}

Status place(const DataRegion& region, std::string_view name, Tensor* tensor) {
  const auto offset = static_cast<unsigned long long>(tensor->offset);
  if (offset % static_cast<unsigned long long>(region.alignment) != 0) {
    return Status::value_error("tensor %s has offset %llu, no multiple of the alignment %lld",
                               Quoted(name).text(), offset,
                               static_cast<long long>(region.alignment));
  }
  if (tensor->offset < 0 || !checked_add(region.start, tensor->offset, &tensor->offset) ||
      tensor->offset >= region.file_size) {
    return Status::value_error(
        "tensor %s has offset %llu into the data, which starts at byte %lld "
        "of a file of %lld",
        Quoted(name).text(), offset, static_cast<long long>(region.start),
        static_cast<long long>(region.file_size));
  }
  const TensorType type = tensor_type(tensor->type);
  if (type.block == 0) return {};
  QK_TRY(size_up(type, name, tensor));
  // Both are at least 0, so the difference cannot overflow where the sum could.
  if (tensor->nbytes > region.file_size - tensor->offset) {
    return Status::value_error("tensor %s ends at byte %llu of a file of %lld", Quoted(name).text(),
                               static_cast<unsigned long long>(tensor->offset) +
                                   static_cast<unsigned long long>(tensor->nbytes),
                               static_cast<long long>(region.file_size));
  }
  return {};
}

Status set_depth(std::string_view key, int64_t k, Tensor* tensor) {
  const TensorType type = tensor_type(tensor->type);
  const int64_t block = type.block > 0 ? type.block : 1;
  int64_t rounded = 0;
  const bool fits = k >= 1 && checked_round_up(k, block, &rounded) && rounded <= tensor->ne[0];
  // The size of a block is unknown for some types, and with it what k rounds up to.
  if (fits && (rounded == tensor->ne[0] || type.block == 0)) {
    tensor->k = k;
    return {};
  }
  return Status::value_error(
      "key %s is %lld, which does not round up to rows of %lld in blocks of "
      "%lld",
      Quoted(key).text(), static_cast<long long>(k), static_cast<long long>(tensor->ne[0]),
      static_cast<long long>(block));
}

}  // namespace qk::gguf
