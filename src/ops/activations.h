// Activations: x quantised once, for one product or several.
#pragma once

#include <cstddef>

#include "core/parallel.h"
#include "core/status.h"
#include "core/views.h"
#include "kernels/table.h"

namespace qk {

// m rows of activations in units of 256 values (kernels/activation_unit.h), and the ISA whose
// kernels read them.
struct ActivationsView {
  const KernelTable* kernels = nullptr;
  Act act = Act::kInt16;
  int64_t m = 0;
  int64_t k = 0;
  int64_t units_per_row = 0;
  const std::byte* units = nullptr;
  const float* row_scales = nullptr;
};

// RMSNorm on the way: x becomes x / sqrt(mean(x^2) + epsilon) * gains before it is quantised.
struct RmsNorm {
  const float* gains;  // (k)
  float epsilon;
};

// The memory that quantize_activations needs for (m, k), to be aligned to a cache line.
Status activations_bytes(Act act, int64_t m, int64_t k, int64_t* bytes);

// Quantises x, of shape (..., k), into `memory`. Never fails on values: a row that holds a NaN or
// an infinity makes every product of that row NaN (under float32: not finite).
Status quantize_activations(const Parallel& parallel, const KernelTable& kernels,
                            const ArrayView& x, Act act, std::byte* memory, ActivationsView* out,
                            const RmsNorm* norm = nullptr);

}  // namespace qk
