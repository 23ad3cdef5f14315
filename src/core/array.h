// Elements of strided arrays: to float32, from float32, and where they lie.
#pragma once

#include <cstddef>
#include <cstdint>

#include "core/views.h"

namespace qk {

int64_t element_size(ScalarType type);
const char* type_name(ScalarType type);

// float32, float16 and bfloat16: what activations, biases and results may be.
bool is_float(ScalarType type);

// The product of the first `count` dimensions, or -1 where it passes 2^63.
int64_t dims_product(const ArrayView& array, int count);

// The address of row `index` of an array seen as (rows, last dimension), rows in C order.
uint8_t* row_address(const ArrayView& array, int64_t index);

// The bytes between rows when all of them lie at one distance (or there is only one row);
// otherwise -1. The distance may be 0 or positive.
int64_t uniform_row_stride(const ArrayView& array);

// m rows of k floats, `stride` floats apart.
ArrayView view_rows(float* data, int64_t m, int64_t k, int64_t stride);

// Whether two arrays are the same elements of the same memory, in the same order.
bool same_elements(const ArrayView& a, const ArrayView& b);

// Where row `index` of native weights lies, rows counted through all matrices of a stack.
const uint8_t* row_address(const WeightView& weights, int64_t index);

// The dimensions of weights, `weights.ndim` of them.
void shape_of(const WeightView& weights, int64_t (&shape)[kMaxDims]);

// Whether the last dimension is contiguous.
bool has_contiguous_rows(const ArrayView& array);

// Whether two elements of one array, of strides >= 0, share memory.
bool has_overlapping_elements(const ArrayView& array);

// The memory that an array touches, from the first byte to past the last.
struct ByteSpan {
  const uint8_t* begin;
  const uint8_t* end;
};
ByteSpan touched(const ArrayView& array);

// Whether the spans of memory that two arrays touch meet.
bool may_overlap(const ArrayView& a, const ArrayView& b);

// `count` elements of a float type, `stride` bytes apart, to and from float32.
void load_floats(const uint8_t* first, int64_t stride, ScalarType type, int64_t count, float* out);
void store_floats(const float* values, int64_t count, uint8_t* first, int64_t stride,
                  ScalarType type);

}  // namespace qk
