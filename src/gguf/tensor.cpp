#include "gguf/tensor.h"

#include <algorithm>
#include <cstdio>

#include "core/checked.h"
#include "gguf/types.h"

namespace qk::gguf {
namespace {

// "[576, 49152]", in the file's order; the first few of many dimensions.
class ShapeText {
 public:
  explicit ShapeText(Extents ne) {
    constexpr size_t kShown = 4;
    auto used = static_cast<size_t>(std::snprintf(text_, sizeof(text_), "["));
    for (size_t d = 0; d < std::min(ne.size(), kShown); ++d) {
      used += static_cast<size_t>(std::snprintf(text_ + used, sizeof(text_) - used, "%s%lld",
                                                d == 0 ? "" : ", ", ll(ne[d])));
    }
    std::snprintf(text_ + used, sizeof(text_) - used, "%s]", ne.size() > kShown ? ", ..." : "");
  }
  const char* text() const { return text_; }

 private:
  char text_[104];  // four numbers of at most 19 digits
};

int64_t depth_of(Extents ne) { return ne.empty() ? 1 : ne[0]; }

Status check_shape(std::string_view name, Extents ne, const Tensor& tensor) {
  if (tensor.ndim > kMaxTensorDims) {
    return Status::value_error("tensor %s has %u dimensions; qkernels reads at most %u",
                               Quoted(name).text(), tensor.ndim, kMaxTensorDims);
  }
  for (size_t d = 0; d < ne.size(); ++d) {
    if (ne[d] >= 0) continue;
    return Status::value_error("tensor %s has %llu elements in dimension %zu; expected below 2^63",
                               Quoted(name).text(), static_cast<unsigned long long>(ne[d]), d);
  }
  // As NumPy has it, an empty dimension does not hide a product of the others.
  int64_t elements = 1;
  for (const int64_t extent : ne) {
    if (extent == 0 || checked_mul(elements, extent, &elements)) continue;
    return Status::value_error("tensor %s of shape %s has 2^63 elements or more",
                               Quoted(name).text(), ShapeText(ne).text());
  }
  return {};
}

// The bytes of all rows.
Status size_up(const TensorType& type, std::string_view name, Extents ne, Tensor* tensor) {
  const int64_t depth = depth_of(ne);
  if (depth % type.block != 0) {
    return Status::value_error(
        "tensor %s has rows of %lld weights, no multiple of the %d in a %s "
        "block",
        Quoted(name).text(), ll(depth), type.block, type.name);
  }
  int64_t bytes = type.bytes;
  bool is_empty = depth == 0;
  bool fits = is_empty || checked_mul(bytes, depth / type.block, &bytes);
  for (size_t d = 1; d < ne.size(); ++d) {
    is_empty = is_empty || ne[d] == 0;
    fits = fits && (ne[d] == 0 || checked_mul(bytes, ne[d], &bytes));
  }
  if (!fits) {
    return Status::value_error("tensor %s of shape %s in %s has 2^63 bytes or more",
                               Quoted(name).text(), ShapeText(ne).text(), type.name);
  }
  tensor->nbytes = is_empty ? 0 : bytes;
  return {};
}

Status check_place(const DataRegion& region, std::string_view name, const Tensor& tensor) {
  const auto offset = static_cast<unsigned long long>(tensor.offset);
  if (offset % static_cast<unsigned long long>(region.alignment) != 0) {
    return Status::value_error("tensor %s has offset %llu, no multiple of the alignment %lld",
                               Quoted(name).text(), offset, ll(region.alignment));
  }
  auto begin = static_cast<int64_t>(tensor.offset);
  if (begin < 0 || !checked_add(region.start, begin, &begin) || begin >= region.file_size) {
    return Status::value_error(
        "tensor %s has offset %llu into the data, which starts at byte %lld "
        "of a file of %lld",
        Quoted(name).text(), offset, ll(region.start), ll(region.file_size));
  }
  // Both are at least 0, so the difference cannot overflow where the sum could.
  if (tensor.nbytes > region.file_size - begin) {
    return Status::value_error(
        "tensor %s ends at byte %llu of a file of %lld", Quoted(name).text(),
        static_cast<unsigned long long>(begin) + static_cast<unsigned long long>(tensor.nbytes),
        ll(region.file_size));
  }
  return {};
}

}  // namespace

Status read_tensor(Cursor& cursor, std::string_view* name, Tensor* out,
                   std::vector<int64_t>* table) {
  if (!cursor.read_text(name)) return cursor.failure("a tensor's name");
  Tensor tensor;
  if (!cursor.read(&tensor.ndim)) return cursor.failure("tensor", *name);
  tensor.extents = static_cast<int64_t>(table->size());
  if (tensor.ndim > kMaxTensorDims) {
    if (!cursor.skip(sizeof(int64_t) * uint64_t{tensor.ndim})) {
      return cursor.failure("tensor", *name);
    }
  } else {
    for (uint32_t d = 0; d < tensor.ndim; ++d) {
      int64_t extent;
      if (!cursor.read(&extent)) return cursor.failure("tensor", *name);
      table->push_back(extent);
    }
  }
  if (!cursor.read(&tensor.type) || !cursor.read(&tensor.offset)) {
    return cursor.failure("tensor", *name);
  }
  *out = tensor;
  return {};
}

Status examine(const DataRegion& region, std::string_view name, Extents ne, Tensor* tensor) {
  QK_TRY(check_shape(name, ne, *tensor));
  tensor->k = depth_of(ne);
  const TensorType type = tensor_type(tensor->type);
  if (type.block != 0) QK_TRY(size_up(type, name, ne, tensor));
  if (tensor->nbytes == 0) return {};
  return check_place(region, name, *tensor);
}

Status set_depth(std::string_view key, int64_t k, Extents ne, Tensor* tensor) {
  const TensorType type = tensor_type(tensor->type);
  const int64_t block = type.block > 0 ? type.block : 1;
  const int64_t depth = depth_of(ne);
  int64_t rounded = 0;
  const bool fits = k >= 1 && checked_round_up(k, block, &rounded) && rounded <= depth;
  // The size of a block is unknown for some types, and with it what k rounds up to.
  if (fits && (rounded == depth || type.block == 0)) {
    tensor->k = k;
    return {};
  }
  return Status::value_error(
      "key %s is %lld, which does not round up to rows of %lld in blocks of "
      "%lld",
      Quoted(key).text(), ll(k), ll(depth), ll(block));
}

}  // namespace qk::gguf
