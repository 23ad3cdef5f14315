// Weights as signed integers, and the scales and mins that they are without.
#pragma once

#include "core/parallel.h"
#include "core/status.h"
#include "core/views.h"

namespace qk {

// Weights that share a scale. TypeError for float weights, which have no integers.
Status integer_group(int format, int64_t* group);

// The integers of native weights, int8 of the weights' shape, one row after another.
Status raw_ints(const Parallel& parallel, const WeightView& weights, int8_t* out);

// Their scales and mins, each float32 (..., n, ceil(k / group)):
// weight = scale * integer + min, to the rounding of float32.
Status raw_scales(const Parallel& parallel, const WeightView& weights, float* scales, float* mins);

}  // namespace qk
