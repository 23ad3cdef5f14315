// Operators made of several: what a layer does around its products.
#pragma once

#include <cstddef>

#include "core/parallel.h"
#include "core/status.h"
#include "core/views.h"
#include "ops/activations.h"
#include "ops/linear.h"

namespace qk {

// linear(), and `residual` of shape (..., n), in a float type, added to each row of the result;
// null for none. It may be the result itself. Writes nothing when it fails.
Status linear_onto(const Parallel& parallel, const KernelTable& kernels, const ActivationsView& x,
                   const Product& product, const ArrayView* residual);

// A feed-forward block: down(silu(gate(x)) * up(x)).
struct FeedForward {
  const WeightView* gate = nullptr;  // (hidden, k)
  const WeightView* up = nullptr;    // (hidden, k)
  const WeightView* down = nullptr;  // (n, hidden)
};

// Two matrices of depth k and as many rows.
Status check_gated(const WeightView& gate, const WeightView& up, int64_t k);

// Those, and one of their rows' depth.
Status check_feed_forward(const FeedForward& block, int64_t k);

// What the caller provides: (m, hidden) floats twice, and activations_bytes of (m, hidden) with
// common_act of `down`. x may lie in `activations`, since it is read before they are written.
struct FeedForwardScratch {
  float* gate = nullptr;
  float* up = nullptr;
  std::byte* activations = nullptr;
};

// out = down(silu(gate(x)) * up(x)) + residual: gate and up in one pass over x, their product
// quantised where it lies. `act` says how.
Status feed_forward(const Parallel& parallel, const KernelTable& kernels, const ActivationsView& x,
                    const FeedForward& block, Act act, const FeedForwardScratch& scratch,
                    float* out, int64_t out_stride, const ArrayView* residual);

}  // namespace qk
