// Floats to the blocks of a format: a matrix, or a stack of them, on all threads.
#pragma once

#include <cstdint>

#include "core/parallel.h"
#include "core/status.h"
#include "core/views.h"
#include "kernels/table.h"
#include "quantize/quantize_table.h"

namespace qk {

// Weights to quantise, seen as rows, and what becomes of them.
struct QuantizeJob {
  int format = 0;
  const Quantizer* quantizer = nullptr;
  ArrayView weights;  // (..., k)
  int64_t rows = 0;   // of all matrices
  int64_t k = 0;
  int64_t row_bytes = 0;
  int64_t first_row = 0;  // what messages call the first row, of weights that are part of more
  // A matrix of each expert's k factors of squared errors, padded_k apart; or null for equal ones.
  const float* importance = nullptr;
  int64_t padded_k = 0;         // k filled up to whole units of 256
  int64_t rows_per_expert = 0;  // of `importance`; all rows where the experts share it
};

// Whether weights can be quantised to a format.
bool can_quantize(const KernelTable& kernels, int format);

// Whether the blocks of a format depend on an importance matrix.
bool takes_importance(const KernelTable& kernels, int format);

// float32, float16 or bfloat16 of shape (..., k), and a format that is quantised
// to. ValueError where k is no multiple of the block, unless `pad` completes rows with zeros.
Status plan_quantize(const KernelTable& kernels, int format, const ArrayView& weights, bool pad,
                     QuantizeJob* out);

// The floats that read_importance writes for imatrix, of shape (k,) or (experts, k). ValueError for
// a format that takes none.
Status importance_floats(const QuantizeJob& job, const ArrayView& imatrix, int64_t* floats);

// Reads it for the job: each row divided by its largest value, no factor below 2^-20, so that
// weights that were never seen do not become arbitrary. ValueError for a value that is negative or
// not finite.
Status read_importance(const ArrayView& imatrix, float* floats, QuantizeJob* job);

// Writes rows * row_bytes bytes. ValueError for weights that are not finite (but of f32, f16 and
// bf16, which have them) or so large that their block would decode to infinities, naming the first;
// `out` is then partly written.
Status quantize(const Parallel& parallel, const QuantizeJob& job, uint8_t* out);

}  // namespace qk
