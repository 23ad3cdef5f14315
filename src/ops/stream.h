// y = W x of int8 weights and activations, exactly, by a micro-kernel of one's choice, on the
// caller's thread: what experiments with layouts and prefetching are made of.
#pragma once

#include <cstdint>

#include "core/status.h"
#include "core/views.h"
#include "kernels/table.h"
#include "stream/stream_table.h"

namespace qk {

// Beyond this depth the sum of products of -128 with -128 passes an int32.
inline constexpr int64_t kMaxStreamDepth = ((int64_t{1} << 31) - 1) / (128 * 128);
// Blocks of 16 bytes: a mebibyte ahead.
inline constexpr int64_t kMaxPrefetch = 1 << 16;

// "scalar", "dotprod", "dotprod4", "dotprod4i" or "dotprod16i".
const char* stream_kernel_name(StreamKernel kernel);
Status parse_stream_kernel(const char* name, StreamKernel* out);

// How a kernel's weights lie: `rows` of them together, `bytes` of each in turn, or all of a row
// where that is 0.
struct StreamLayout {
  int rows;
  int bytes;
};
StreamLayout stream_layout(StreamKernel kernel);

// What was checked: weights, and x as the caller has it.
struct StreamProduct {
  StreamKernel kernel{};
  const uint8_t* weights = nullptr;
  int64_t copies = 0;
  int64_t copy_stride = 0;  // bytes
  int64_t groups = 0;
  int64_t rows = 0;  // of all groups
  int64_t depth = 0;
  int64_t ahead = 0;  // bytes
};

// weights: int8 (copies, groups, pieces, rows, bytes), a copy in C order; x: int8 (k,), where the
// depth of the weights is k rounded up to a multiple of 16. TypeError for another dtype, ValueError
// for another shape, k outside 1..kMaxStreamDepth or prefetch outside 0..kMaxPrefetch.
Status check_stream(StreamKernel kernel, const ArrayView& weights, const ArrayView& x,
                    int64_t prefetch, StreamProduct* out);

// The bytes that pad_stream_x() writes: k, and zeros up to a multiple of kStreamPadding.
int64_t stream_x_bytes(int64_t depth);
void pad_stream_x(const ArrayView& x, int64_t depth, int8_t* out);

// The product of copy `copy` with padded x into `rows` results.
void stream_gemv(const KernelTable& kernels, const StreamProduct& product, int64_t copy,
                 const int8_t* x, int32_t* out);

}  // namespace qk
