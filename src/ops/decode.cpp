#include "ops/decode.h"

#include "core/array.h"
#include "core/checked.h"
#include "formats/registry.h"
#include "ops/pack.h"
#include "ops/shapes.h"

namespace qk {
namespace {

// What is decoded at once of packed weights, and where `out` is not plain float32 rows. A multiple
// of every block's weights, so that pieces start at block boundaries.
constexpr int64_t kPieceWeights = 4096;
constexpr int64_t kPieceBytes = 4 * kPieceWeights;  // of blocks, at most: float32
static_assert(kPieceWeights % kUnit == 0);

// The native blocks of `count` weights of a row from `begin` on: where they lie, or unpacked.
const uint8_t* blocks_of(const KernelTable& kernels, const WeightView& weights, int64_t row,
                         int64_t begin, int64_t count, uint8_t* unpacked) {
  const FormatInfo& info = format_at(weights.format).info;
  const int64_t first = begin / info.block;
  if (weights.layout == Layout::kNative) return row_address(weights, row) + first * info.bytes;
  unpack_row(weights, panel_rows(kernels, weights.format), row, first, ceil_div(count, info.block),
             unpacked);
  return unpacked;
}

// Decodes one row of weights to where row `index` of `out` lies.
void decode_to(const KernelTable& kernels, const WeightView& weights, int64_t row,
               const ArrayView& out, int64_t index) {
  const DecodeFn decode = kernels.formats->kernels[weights.format]->decode;
  uint8_t* first = row_address(out, index);
  const bool aligned = reinterpret_cast<uintptr_t>(first) % alignof(float) == 0;
  const bool plain = out.type == ScalarType::kF32 && has_contiguous_rows(out) && aligned;
  if (plain && weights.layout == Layout::kNative) {
    decode(row_address(weights, row), weights.k, reinterpret_cast<float*>(first));
    return;
  }
  const int64_t stride = out.strides[out.ndim - 1];
  uint8_t unpacked[kPieceBytes];
  float piece[kPieceWeights];
  for (int64_t begin = 0; begin < weights.k; begin += kPieceWeights) {
    const int64_t left = weights.k - begin;
    const int64_t count = left < kPieceWeights ? left : kPieceWeights;
    const uint8_t* blocks = blocks_of(kernels, weights, row, begin, count, unpacked);
    decode(blocks, count, plain ? reinterpret_cast<float*>(first) + begin : piece);
    if (!plain) store_floats(piece, count, first + begin * stride, stride, out.type);
  }
}

int64_t grain_rows(int64_t k) { return ceil_div(32768, k); }

}  // namespace

Status dequantize(const Parallel& parallel, const KernelTable& kernels, const WeightView& weights,
                  const ArrayView& out) {
  int64_t shape[kMaxDims];
  shape_of(weights, shape);
  QK_TRY(check_out(out, shape, weights.ndim));
  auto body = [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) decode_to(kernels, weights, i, out, i);
  };
  parallel(weights.experts * weights.n, grain_rows(weights.k), body);
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
    for (int64_t i = begin; i < end; ++i) decode_to(kernels, weights, ids[i], out, i);
  };
  parallel(count, grain_rows(weights.k), body);
  return {};
}

}  // namespace qk
