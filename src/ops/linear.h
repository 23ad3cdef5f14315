// Products of activations and weights: gemv for one batch row, gemm for several. One call may make
// several products of the same activations, and takes the pool once for all of them.
#pragma once

#include "core/parallel.h"
#include "core/status.h"
#include "core/views.h"
#include "ops/activations.h"

namespace qk {

// out[j * out_stride + i] = x[j] . weights[i] + bias[j * bias_stride + i]
//   for j in [0, x.m), i in [0, weights.n)
struct Product {
  const WeightView* weights = nullptr;
  float* out = nullptr;
  int64_t out_stride = 0;       // floats
  const float* bias = nullptr;  // null for none; `out` itself adds to what it holds
  int64_t bias_stride = 0;      // 0 where all batch rows have the same
};

inline constexpr int kMostProducts = 4;

// The checks of a product: depths, and activations that its weights take and these kernels read.
Status check_linear(const KernelTable& kernels, const ActivationsView& x, const Product& product);

// Up to kMostProducts products of x. Writes nothing when it fails. Large batches decode rows for
// tiles where the ISA has them, or pack native rows, as they go, each thread into scratch of its
// own; without memory for that they take the slower way.
Status linear(const Parallel& parallel, const KernelTable& kernels, const ActivationsView& x,
              const Product* products, int count);

inline Status linear(const Parallel& parallel, const KernelTable& kernels, const ActivationsView& x,
                     const Product& product) {
  return linear(parallel, kernels, x, &product, 1);
}

// gate.out = silu(x . gate) * (x . up), with silu(g) = g / (1 + e^-g); up.out is scratch of the
// same shape.
Status gated(const Parallel& parallel, const KernelTable& kernels, const ActivationsView& x,
             const Product& gate, const Product& up);

}  // namespace qk
