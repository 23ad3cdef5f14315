#include "ops/decode.h"

#include "core/array.h"
#include "core/checked.h"
#include "formats/registry.h"
#include "ops/shapes.h"

namespace qk {
namespace {

constexpr int64_t kPieceWeights = 4096;  // decoded at once where `out` is not plain float32 rows

// Decodes one row of weights to where row `index` of `out` lies.
void decode_to(const KernelTable& kernels, const WeightView& weights, const uint8_t* row,
               const ArrayView& out, int64_t index) {
  const DecodeFn decode = kernels.decode[weights.format];
  uint8_t* first = row_address(out, index);
  const bool aligned = reinterpret_cast<uintptr_t>(first) % alignof(float) == 0;
  if (out.type == ScalarType::kF32 && has_contiguous_rows(out) && aligned) {
    decode(row, weights.k, reinterpret_cast<float*>(first));
    return;
  }
  // kPieceWeights is a multiple of every block size, so pieces start at block boundaries.
  const FormatInfo& info = format_at(weights.format).info;
  const int64_t stride = out.strides[out.ndim - 1];
  float piece[kPieceWeights];
  for (int64_t begin = 0; begin < weights.k; begin += kPieceWeights) {
    const int64_t left = weights.k - begin;
    const int64_t count = left < kPieceWeights ? left : kPieceWeights;
    decode(row + begin / info.block * info.bytes, count, piece);
    store_floats(piece, count, first + begin * stride, stride, out.type);
  }
}

int64_t grain_rows(int64_t k) { return ceil_div(32768, k); }

}  // namespace

Status dequantize(const Parallel& parallel, const KernelTable& kernels, const WeightView& weights,
                  const ArrayView& out) {
  const int64_t shape[3] = {weights.experts, weights.n, weights.k};
  const bool matrix = weights.experts == 1 && out.ndim == 2;
  QK_TRY(check_out(out, matrix ? shape + 1 : shape, matrix ? 2 : 3));
  int64_t rows = 0;
  if (!checked_mul(weights.experts, weights.n, &rows)) {
    return Status::value_error("weights of %lld experts of n=%lld rows pass 2^63 rows",
                               static_cast<long long>(weights.experts),
                               static_cast<long long>(weights.n));
  }
  auto body = [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) {
      const uint8_t* row =
          weights.data + i / weights.n * weights.expert_stride + i % weights.n * weights.row_stride;
      decode_to(kernels, weights, row, out, i);
    }
  };
  parallel(rows, grain_rows(weights.k), body);
  return {};
}

Status get_rows(const Parallel& parallel, const KernelTable& kernels, const WeightView& weights,
                const int64_t* ids, int64_t count, const ArrayView& out) {
  QK_TRY(check_product(weights, weights.k));
  for (int64_t i = 0; i < count; ++i) {
    if (ids[i] < 0 || ids[i] >= weights.n) {
      return Status::index_error("ids[%lld]=%lld is outside the %lld rows of the weights",
                                 static_cast<long long>(i), static_cast<long long>(ids[i]),
                                 static_cast<long long>(weights.n));
    }
  }
  auto body = [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) {
      decode_to(kernels, weights, weights.data + ids[i] * weights.row_stride, out, i);
    }
  };
  parallel(count, grain_rows(weights.k), body);
  return {};
}

}  // namespace qk
