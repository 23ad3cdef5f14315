#include "cuda/checks.h"

#include <cuda_runtime.h>

#include "core/checked.h"
#include "cuda/activations.h"
#include "cuda/packing.h"
#include "formats/registry.h"

namespace qk::cuda {
namespace {

int64_t bytes_of(int32_t dtype) { return dtype == QK_CUDA_F32 ? 4 : 2; }

int64_t unit_bytes(int32_t act) {
  if (act == QK_CUDA_INT16) return static_cast<int64_t>(sizeof(Unit<Act::kInt16>));
  if (act == QK_CUDA_INT8) return static_cast<int64_t>(sizeof(Unit<Act::kInt8>));
  return static_cast<int64_t>(sizeof(Unit<Act::kFloat32>));
}

Status check_range(const char* what, int32_t value, int32_t end, const char* names) {
  if (value >= 0 && value < end) return {};
  return Status::value_error("%s=%d is none of %s", what, value, names);
}

}  // namespace

Status check_format(int32_t format) {
  if (format >= 0 && format < format_count()) return {};
  return Status::index_error("format %d is outside 0..%d", format, format_count() - 1);
}

Status check_layout(int32_t layout) {
  return check_range("layout", layout, kLayouts, "native (0), packed (1)");
}
Status check_act(int32_t act) {
  return check_range("act", act, kActs, "int16 (0), float32 (1), int8 (2)");
}
Status check_dtype(const char* what, int32_t dtype) {
  if (dtype >= 0 && dtype <= QK_CUDA_BF16) return {};
  return Status::type_error("%s: dtype=%d is none of float32 (0), float16 (1), bfloat16 (2)", what,
                            dtype);
}
Status check_function(int32_t function) {
  return check_range("function", function, QK_CUDA_GELU_SIGMOID + 1,
                     "none (0), silu (1), gelu (2), tanh (3), sigmoid (4)");
}

Status check_k(int64_t k) {
  if (k >= 1 && k <= kMostK) return {};
  return Status::value_error("k=%lld is outside 1..%lld", ll(k), ll(kMostK));
}

Status check_pointer(const char* what, const void* pointer, int32_t device, int64_t alignment) {
  if (pointer == nullptr) return Status::value_error("%s is null", what);
  if (reinterpret_cast<uintptr_t>(pointer) % static_cast<uintptr_t>(alignment) != 0) {
    return Status::value_error("%s at %p is not aligned to %lld bytes", what, pointer,
                               ll(alignment));
  }
  cudaPointerAttributes attributes{};
  if (cudaPointerGetAttributes(&attributes, pointer) != cudaSuccess) {
    cudaGetLastError();
    return Status::type_error("%s at %p is memory that CUDA does not know", what, pointer);
  }
  if (attributes.type == cudaMemoryTypeManaged) return {};
  if (attributes.type != cudaMemoryTypeDevice) {
    return Status::type_error("%s at %p is memory of the host, or was freed", what, pointer);
  }
  if (attributes.device != device) {
    return Status::value_error("%s at %p is memory of device %d, the call is for device %d", what,
                               pointer, attributes.device, device);
  }
  return {};
}

Status check_matrix(const char* what, const qk_cuda_matrix& matrix, int64_t rows, int64_t columns,
                    int32_t device) {
  QK_TRY(check_dtype(what, matrix.dtype));
  if (matrix.rows != rows || matrix.columns != columns) {
    return Status::value_error("%s is (%lld, %lld), not (%lld, %lld)", what, ll(matrix.rows),
                               ll(matrix.columns), ll(rows), ll(columns));
  }
  int64_t end = 0;
  if (matrix.stride < (rows > 1 ? columns : 0) || !checked_mul(matrix.stride, rows, &end) ||
      !checked_mul(end, bytes_of(matrix.dtype), &end)) {
    return Status::value_error("%s: rows of %lld lie stride=%lld elements apart", what, ll(columns),
                               ll(matrix.stride));
  }
  return check_pointer(what, matrix.data, device, bytes_of(matrix.dtype));
}

Status check_weights(const char* what, const qk_cuda_weights& weights, int32_t device) {
  QK_TRY(check_format(weights.format));
  QK_TRY(check_layout(weights.layout));
  QK_TRY(check_k(weights.k));
  if (weights.n < 1 || weights.n > kMostK) {
    return Status::value_error("n=%lld is outside 1..%lld", ll(weights.n), ll(kMostK));
  }
  const Layout layout = weights.layout == QK_CUDA_PACKED ? Layout::kPlanes : Layout::kNative;
  const FormatInfo& info = format_at(weights.format).info;
  int64_t bytes = 0;
  QK_TRY(row_bytes_of(weights.format, layout, weights.k, &bytes));
  int64_t end = 0;
  if (weights.row_stride < bytes || !checked_mul(weights.row_stride, weights.n, &end)) {
    return Status::value_error("%s: k=%lld needs %lld bytes a row of %s, rows lie %lld apart", what,
                               ll(weights.k), ll(bytes), info.name, ll(weights.row_stride));
  }
  const int alignment = is_native(weights.format, layout) ? native_alignment(weights.format) : 16;
  if (weights.row_stride % alignment != 0) {
    return Status::value_error("%s: rows of %s lie %lld bytes apart, no multiple of %d", what,
                               info.name, ll(weights.row_stride), alignment);
  }
  return check_pointer(what, weights.data, device, alignment);
}

Status check_act_of(int32_t format, int32_t act) {
  QK_TRY(check_act(act));
  if (!format_at(format).is_float || act == QK_CUDA_FLOAT32) return {};
  return Status::value_error("%s weights are multiplied with float32 activations (1), not act=%d",
                             format_at(format).info.name, act);
}

Status activation_bytes(int32_t act, int64_t m, int64_t k, int64_t* out) {
  QK_TRY(check_act(act));
  QK_TRY(check_k(k));
  if (m < 1 || m > kMostBatchRows) {
    return Status::value_error("m=%lld is outside 1..%d", ll(m), kMostBatchRows);
  }
  // k is below 2^31, and a unit below 2^11: no product passes 2^45.
  *out = kRowScaleBytes + ceil_div(k, 256) * batch_rows_of_class(batch_class(m)) * unit_bytes(act);
  return {};
}

}  // namespace qk::cuda
