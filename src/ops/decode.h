// Weights back to float32: whole tensors and chosen rows, of native blocks or of panels, which are
// unpacked row by row. The kernels must be of the ISA whose panels they are.
#pragma once

#include "core/parallel.h"
#include "core/status.h"
#include "core/views.h"
#include "kernels/table.h"

namespace qk {

// Writes rows decoded to the float type of `out`, of the weights' shape and any positive
// strides, bit for bit the format's decode() rounded to that type.
Status dequantize(const Parallel& parallel, const KernelTable& kernels, const WeightView& weights,
                  const ArrayView& out);

// Row i of `out`, seen as (count, k), becomes row ids[i] of one matrix. The caller has checked
// out with check_out. IndexError for an id outside [0, n); nothing is written then.
Status get_rows(const Parallel& parallel, const KernelTable& kernels, const WeightView& weights,
                const int64_t* ids, int64_t count, const ArrayView& out);

}  // namespace qk
