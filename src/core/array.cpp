#include "core/array.h"

#include <cstring>

#include "core/checked.h"
#include "core/half.h"
#include "core/unaligned.h"

namespace qk {
namespace {

struct TypeTraits {
  int64_t size;
  const char* name;
};

// In the order of ScalarType.
constexpr TypeTraits kTypes[] = {
    {4, "float32"}, {2, "float16"}, {2, "bfloat16"}, {8, "float64"}, {1, "uint8"},
    {1, "int8"},    {2, "int16"},   {4, "int32"},    {8, "int64"},   {1, "other"},
};

}  // namespace

int64_t element_size(ScalarType type) { return kTypes[static_cast<int>(type)].size; }

const char* type_name(ScalarType type) { return kTypes[static_cast<int>(type)].name; }

bool is_float(ScalarType type) {
  return type == ScalarType::kF32 || type == ScalarType::kF16 || type == ScalarType::kBF16;
}

int64_t dims_product(const ArrayView& array, int count) {
  int64_t product = 1;
  for (int d = 0; d < count; ++d) {
    if (!checked_mul(product, array.shape[d], &product)) return -1;
  }
  return product;
}

uint8_t* row_address(const ArrayView& array, int64_t index) {
  auto* address = static_cast<uint8_t*>(array.data);
  for (int d = array.ndim - 2; d >= 0; --d) {
    address += index % array.shape[d] * array.strides[d];
    index /= array.shape[d];
  }
  return address;
}

const uint8_t* row_address(const WeightView& weights, int64_t index) {
  if (weights.ndim <= 2) return weights.data + index * weights.row_stride;
  const uint8_t* address = weights.data + index % weights.n * weights.row_stride;
  index /= weights.n;
  for (int d = weights.ndim - 3; d >= 0; --d) {
    address += index % weights.stack_shape[d] * weights.stack_strides[d];
    index /= weights.stack_shape[d];
  }
  return address;
}

void shape_of(const WeightView& weights, int64_t (&shape)[kMaxDims]) {
  const int last = weights.ndim - 1;
  for (int d = 0; d < last - 1; ++d) shape[d] = weights.stack_shape[d];
  if (last > 0) shape[last - 1] = weights.n;
  shape[last] = weights.k;
}

int64_t uniform_row_stride(const ArrayView& array) {
  int64_t stride = -1;
  int64_t rows = 1;
  for (int d = array.ndim - 2; d >= 0; --d) {
    if (array.shape[d] == 1) continue;
    if (rows == 1) {
      stride = array.strides[d];
      if (stride < 0) return -1;
    } else if (array.strides[d] != stride * rows) {
      return -1;
    }
    rows *= array.shape[d];
  }
  return rows == 1 ? 0 : stride;
}

ArrayView view_rows(float* data, int64_t m, int64_t k, int64_t stride) {
  ArrayView view;
  view.data = data;
  view.type = ScalarType::kF32;
  view.writable = true;
  view.ndim = 2;
  view.shape[0] = m;
  view.shape[1] = k;
  view.strides[0] = stride * static_cast<int64_t>(sizeof(float));
  view.strides[1] = sizeof(float);
  return view;
}

bool same_elements(const ArrayView& a, const ArrayView& b) {
  if (a.data != b.data || a.type != b.type || a.ndim != b.ndim) return false;
  for (int d = 0; d < a.ndim; ++d) {
    if (a.shape[d] != b.shape[d]) return false;
    if (a.shape[d] > 1 && a.strides[d] != b.strides[d]) return false;
  }
  return true;
}

bool has_contiguous_rows(const ArrayView& array) {
  const int last = array.ndim - 1;
  return array.shape[last] <= 1 || array.strides[last] == element_size(array.type);
}

// Dimensions in the order of their strides must each step over all that the smaller ones span.
bool has_overlapping_elements(const ArrayView& array) {
  for (int d = 0; d < array.ndim; ++d) {
    if (array.shape[d] == 0) return false;
  }
  bool done[kMaxDims] = {};
  int64_t span = element_size(array.type);
  for (int round = 0; round < array.ndim; ++round) {
    int smallest = -1;
    for (int d = 0; d < array.ndim; ++d) {
      if (done[d]) continue;
      if (smallest < 0 || array.strides[d] < array.strides[smallest]) smallest = d;
    }
    done[smallest] = true;
    if (array.shape[smallest] <= 1) continue;
    if (array.strides[smallest] < span) return true;
    span += (array.shape[smallest] - 1) * array.strides[smallest];
  }
  return false;
}

ByteSpan touched(const ArrayView& array) {
  const auto* data = static_cast<const uint8_t*>(array.data);
  ByteSpan span{data, data + element_size(array.type)};
  for (int d = 0; d < array.ndim; ++d) {
    if (array.shape[d] == 0) return {data, data};
    const int64_t reach = (array.shape[d] - 1) * array.strides[d];
    (reach < 0 ? span.begin : span.end) += reach;
  }
  return span;
}

bool may_overlap(const ArrayView& a, const ArrayView& b) {
  const ByteSpan sa = touched(a);
  const ByteSpan sb = touched(b);
  if (sa.begin == sa.end || sb.begin == sb.end) return false;
  return sa.begin < sb.end && sb.begin < sa.end;
}

void load_floats(const uint8_t* first, int64_t stride, ScalarType type, int64_t count, float* out) {
  if (type == ScalarType::kF32) {
    if (stride == 4) {
      std::memcpy(out, first, static_cast<size_t>(count) * 4);
      return;
    }
    for (int64_t i = 0; i < count; ++i) std::memcpy(out + i, first + i * stride, 4);
    return;
  }
  const bool half = type == ScalarType::kF16;
  for (int64_t i = 0; i < count; ++i) {
    const uint16_t bits = reinterpret_cast<const U16*>(first + i * stride)->get();
    out[i] = half ? half_to_float(bits) : bfloat_to_float(bits);
  }
}

void store_floats(const float* values, int64_t count, uint8_t* first, int64_t stride,
                  ScalarType type) {
  if (type == ScalarType::kF32) {
    for (int64_t i = 0; i < count; ++i) std::memcpy(first + i * stride, values + i, 4);
    return;
  }
  const bool half = type == ScalarType::kF16;
  for (int64_t i = 0; i < count; ++i) {
    const uint16_t bits = half ? float_to_half(values[i]) : float_to_bfloat(values[i]);
    std::memcpy(first + i * stride, &bits, 2);
  }
}

}  // namespace qk
