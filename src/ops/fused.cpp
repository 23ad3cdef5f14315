#include "ops/fused.h"

#include "core/array.h"
#include "core/checked.h"
#include "ops/shapes.h"

namespace qk {
namespace {

// Each row of the result becomes residual + bias, on which the product is added.
void start_rows(const Parallel& parallel, int64_t m, const Product& product,
                const ArrayView& residual) {
  const int64_t n = product.weights->n;
  const int64_t stride = residual.strides[residual.ndim - 1];
  auto body = [&](int64_t begin, int64_t end) {
    for (int64_t row = begin; row < end; ++row) {
      const uint8_t* first = row_address(residual, row);
      float* out = product.out + row * product.out_stride;
      if (first != reinterpret_cast<const uint8_t*>(out)) {
        load_floats(first, stride, residual.type, n, out);
      }
      if (product.bias == nullptr) continue;
      const float* bias = product.bias + row * product.bias_stride;
      for (int64_t i = 0; i < n; ++i) out[i] += bias[i];
    }
  };
  constexpr int64_t kGrainFloats = 1 << 16;  // some microseconds of copying
  parallel(m, ceil_div(kGrainFloats, n), body);
}

}  // namespace

Status linear_onto(const Parallel& parallel, const KernelTable& kernels, const ActivationsView& x,
                   const Product& product, const ArrayView* residual) {
  if (residual == nullptr) return linear(parallel, kernels, x, product);
  QK_TRY(check_linear(kernels, x, product));
  if (product.weights->n == 0) return {};
  start_rows(parallel, x.m, product, *residual);
  Product onto = product;
  onto.bias = product.out;
  onto.bias_stride = product.out_stride;
  return linear(parallel, kernels, x, onto);
}

Status check_gated(const WeightView& gate, const WeightView& up, int64_t k) {
  QK_TRY(check_product(gate, k));
  QK_TRY(check_product(up, k));
  if (gate.n != up.n) {
    return Status::value_error("the gate has n=%lld rows, up has %lld", ll(gate.n), ll(up.n));
  }
  return {};
}

Status check_feed_forward(const FeedForward& block, int64_t k) {
  QK_TRY(check_gated(*block.gate, *block.up, k));
  if (block.down->ndim == 2 && block.down->k != block.gate->n) {
    return Status::value_error("the gate has n=%lld rows, down has k=%lld", ll(block.gate->n),
                               ll(block.down->k));
  }
  return check_product(*block.down, block.gate->n);
}

Status feed_forward(const Parallel& parallel, const KernelTable& kernels, const ActivationsView& x,
                    const FeedForward& block, Act act, const FeedForwardScratch& scratch,
                    float* out, int64_t out_stride, const ArrayView* residual) {
  QK_TRY(check_feed_forward(block, x.k));
  const int64_t hidden = block.gate->n;
  QK_TRY(gated(parallel, kernels, x,
               {.weights = block.gate, .out = scratch.gate, .out_stride = hidden},
               {.weights = block.up, .out = scratch.up, .out_stride = hidden}));
  ActivationsView product;
  QK_TRY(quantize_activations(parallel, kernels, view_rows(scratch.gate, x.m, hidden, hidden),
                              common_act({block.down}, act), scratch.activations, &product));
  return linear_onto(parallel, kernels, product,
                     {.weights = block.down, .out = out, .out_stride = out_stride}, residual);
}

}  // namespace qk
