// The checks that every operator makes before it computes, and what shape its result has.
//
// Nothing here reads an element: only shapes, strides and types, so the same functions can serve
// an interface that has no data (such as shape inference).
#pragma once

#include <initializer_list>

#include "core/status.h"
#include "core/views.h"
#include "kernels/activation_unit.h"

namespace qk {

// The act of a name: "int16", "float32" or "int8".
Status parse_act(const char* name, Act* out);
const char* act_name(Act act);

// The activations that weights of `format` are multiplied with when `act` is asked for.
Act effective_act(int format, Act act);

// The activations that several matrices share: float weights meet float32, and with them all.
Act common_act(std::initializer_list<const WeightView*> matrices, Act act);

// Describes `data`, an array of bytes (..., row_bytes), as weights of depth k. ValueError where its
// rows do not hold ceil(k / block) blocks, where its strides are negative or pass 2^63 bytes, or
// its rows are not contiguous. All but the last dimension may be 0.
Status view_weights(const ArrayView& data, int format, int64_t k, WeightView* out);

// The bytes of native weights from the first to the last, with what lies between their rows.
Status weight_bytes(const WeightView& weights, int64_t* bytes);

// ValueError for a vector or a stack.
Status check_matrix(const WeightView& weights);

// The largest k whose rows are `bytes` long; ValueError where that is not a whole number of blocks.
Status depth_of_row(int format, int64_t bytes, int64_t* k);

// float32, float16 or bfloat16; `what` names the array in messages.
Status check_float(const ArrayView& array, const char* what);

// x of shape (..., k) with k >= 1, in float32, float16 or bfloat16. m is the product of the
// leading dimensions.
Status check_activations(const ArrayView& x, int64_t* m, int64_t* k);

// One matrix, whose depth is that of the activations.
Status check_product(const WeightView& weights, int64_t k);

// `out` of `ndim` dimensions: those of `shape`. Writable, of a float type, without negative or
// overlapping strides.
Status check_out(const ArrayView& out, const int64_t* shape, int ndim);

// A bias of shape (n,) in a float type.
Status check_bias(const ArrayView& bias, int64_t n);

// Gains of shape (k,), and an epsilon that is finite and not below 0.
Status check_norm(const ArrayView& gains, int64_t k, double epsilon);

// A residual of the result's shape, in a float type.
Status check_residual(const ArrayView& residual, const int64_t* shape, int ndim);

}  // namespace qk
