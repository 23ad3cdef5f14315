#include "ops/stream.h"

#include <cstring>

#include "core/array.h"
#include "core/checked.h"

namespace qk {

namespace {

struct StreamTraits {
  const char* name;
  StreamLayout layout;
};

// In the order of StreamKernel.
constexpr StreamTraits kTraits[kStreamKernels] = {
    {"scalar", {1, 0}},     {"dotprod", {1, 0}},     {"dotprod4", {4, 0}},
    {"dotprod4i", {4, 16}}, {"dotprod16i", {16, 4}},
};

// The reference: a loop that says what is computed, left to the compiler.
void stream_scalar(const StreamArgs& args) {
  for (int64_t row = 0; row < args.groups; ++row) {
    const uint8_t* weights = args.weights + row * args.depth;
    int32_t sum = 0;
    for (int64_t at = 0; at < args.depth; at += kStreamBlock) {
      if (args.ahead != 0) __builtin_prefetch(weights + at + args.ahead);
      for (int64_t i = at; i < at + kStreamBlock; ++i) {
        sum += static_cast<int8_t>(weights[i]) * args.x[i];
      }
    }
    args.out[row] = sum;
  }
}

Status check_int8(const ArrayView& array, const char* what) {
  if (array.type == ScalarType::kI8) return {};
  return Status::type_error("%s has dtype %s; expected int8", what, type_name(array.type));
}

// A copy's elements lie one after another; copies follow each other, with any gap.
Status check_order(const ArrayView& weights) {
  for (int d = 0; d < 5; ++d) {
    if (weights.shape[d] == 0) return {};  // strides of nothing say nothing
  }
  int64_t bytes = 1;
  for (int d = 4; d >= 0; --d) {
    const int64_t stride = weights.strides[d];
    const bool fits = d == 0 ? stride >= bytes : stride == bytes;
    if (weights.shape[d] > 1 && !fits) {
      return Status::value_error(
          "weights have a stride of %lld bytes in dimension %d; C order has %lld",
          static_cast<long long>(stride), d, static_cast<long long>(bytes));
    }
    if (!checked_mul(bytes, weights.shape[d], &bytes)) {
      return Status::value_error("weights have more than 2^63 bytes");
    }
  }
  return {};
}

// Fills in what the shape of the weights says, and asks whether it is the kernel's.
Status check_weights(const ArrayView& weights, StreamProduct* product) {
  const StreamTraits& traits = kTraits[static_cast<int>(product->kernel)];
  const StreamLayout layout = traits.layout;
  if (weights.ndim != 5) {
    return Status::value_error("weights have %d dimensions; expected 5", weights.ndim);
  }
  QK_TRY(check_order(weights));
  const int64_t* shape = weights.shape;
  const bool fits = layout.bytes == 0 ? shape[2] == 1 : shape[4] == layout.bytes;
  if (shape[3] != layout.rows || !fits) {
    return Status::value_error(
        "%s takes %d rows together, %d bytes of each in turn (0 for all); the weights' groups are "
        "of shape (%lld, %lld, %lld)",
        traits.name, layout.rows, layout.bytes, static_cast<long long>(shape[2]),
        static_cast<long long>(shape[3]), static_cast<long long>(shape[4]));
  }
  if (shape[0] < 1) return Status::value_error("weights hold 0 copies; expected at least 1");
  product->weights = static_cast<const uint8_t*>(weights.data);
  product->copies = shape[0];
  product->copy_stride = weights.strides[0];
  product->groups = shape[1];
  const bool holds = checked_mul(shape[1], shape[3], &product->rows) &&
                     checked_mul(shape[2], shape[4], &product->depth);
  return holds ? Status{} : Status::value_error("weights have more than 2^63 rows or columns");
}

}  // namespace

const char* stream_kernel_name(StreamKernel kernel) {
  return kTraits[static_cast<int>(kernel)].name;
}

StreamLayout stream_layout(StreamKernel kernel) { return kTraits[static_cast<int>(kernel)].layout; }

Status parse_stream_kernel(const char* name, StreamKernel* out) {
  for (int i = 0; i < kStreamKernels; ++i) {
    if (std::strcmp(name, kTraits[i].name) != 0) continue;
    *out = static_cast<StreamKernel>(i);
    return {};
  }
  return Status::value_error(
      "kernel='%.40s' is not one of scalar, dotprod, dotprod4, dotprod4i, dotprod16i", name);
}

Status check_stream(StreamKernel kernel, const ArrayView& weights, const ArrayView& x,
                    int64_t prefetch, StreamProduct* out) {
  StreamProduct product;
  product.kernel = kernel;
  QK_TRY(check_int8(weights, "weights"));
  QK_TRY(check_int8(x, "x"));
  if (x.ndim != 1) return Status::value_error("x has %d dimensions; expected 1", x.ndim);
  const int64_t k = x.shape[0];
  if (k < 1 || k > kMaxStreamDepth) {
    return Status::value_error("k=%lld is outside 1..%lld, where int32 holds every sum",
                               static_cast<long long>(k), static_cast<long long>(kMaxStreamDepth));
  }
  if (prefetch < 0 || prefetch > kMaxPrefetch) {
    return Status::value_error("prefetch=%lld is outside 0..%lld blocks of 16 bytes",
                               static_cast<long long>(prefetch),
                               static_cast<long long>(kMaxPrefetch));
  }
  product.ahead = prefetch * kStreamBlock;
  QK_TRY(check_weights(weights, &product));
  const int64_t padded = ceil_div(k, kStreamBlock) * kStreamBlock;
  if (product.depth != padded) {
    return Status::value_error("x has k=%lld, padded to %lld; the weights have %lld columns",
                               static_cast<long long>(k), static_cast<long long>(padded),
                               static_cast<long long>(product.depth));
  }
  *out = product;
  return {};
}

int64_t stream_x_bytes(int64_t depth) { return ceil_div(depth, kStreamPadding) * kStreamPadding; }

void pad_stream_x(const ArrayView& x, int64_t depth, int8_t* out) {
  const auto* from = static_cast<const uint8_t*>(x.data);
  for (int64_t i = 0; i < x.shape[0]; ++i) out[i] = static_cast<int8_t>(from[i * x.strides[0]]);
  for (int64_t i = x.shape[0]; i < stream_x_bytes(depth); ++i) out[i] = 0;
}

void stream_gemv(const KernelTable& kernels, const StreamProduct& product, int64_t copy,
                 const int8_t* x, int32_t* out) {
  StreamArgs args{};
  args.weights = product.weights + copy * product.copy_stride;
  args.groups = product.groups;
  args.depth = product.depth;
  args.x = x;
  for (int64_t i = 0; i < product.depth; ++i) args.x_sum += x[i];
  args.ahead = product.ahead;
  args.out = out;
  const StreamFn run = kernels.streams->run[static_cast<int>(product.kernel)];
  (run == nullptr ? &stream_scalar : run)(args);
}

}  // namespace qk
