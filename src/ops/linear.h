// The product of activations and weights: gemv for one batch row, gemm for several.
#pragma once

#include "core/parallel.h"
#include "core/status.h"
#include "core/views.h"
#include "ops/activations.h"

namespace qk {

// out[j * out_stride + i] = x[j] . weights[i] + bias[i]  for j in [0, x.m), i in [0, weights.n).
// `bias` is (n) or null; `out_stride` counts floats. Writes nothing when it fails. Large batches
// decode rows for tiles where the ISA has them, or pack native rows, as they go, each thread into
// scratch of its own; without memory for that they take the slower way.
Status linear(const Parallel& parallel, const WeightView& weights, const ActivationsView& x,
              const float* bias, float* out, int64_t out_stride);

}  // namespace qk
