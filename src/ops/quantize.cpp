#include "ops/quantize.h"

#include <algorithm>
#include <atomic>
#include <cmath>
#include <cstdio>
#include <cstring>
#include <limits>

#include "core/array.h"
#include "core/checked.h"
#include "core/fp_environment.h"
#include "core/half.h"
#include "formats/registry.h"
#include "ops/shape_text.h"
#include "ops/shapes.h"

namespace qk {
namespace {

// What is quantised at once, on the stack: blocks of every format are whole in it.
constexpr int64_t kPieceWeights = 4096;
constexpr float kLeastImportance = 0x1p-20f;

// The first weight at fault, of all threads.
class FirstFault {
 public:
  void report(int64_t place) {
    int64_t known = first_.load(std::memory_order_relaxed);
    while (place < known && !first_.compare_exchange_weak(known, place)) {
    }
  }
  bool any() const { return first() != kNone; }
  int64_t first() const { return first_.load(); }

 private:
  static constexpr int64_t kNone = std::numeric_limits<int64_t>::max();
  std::atomic<int64_t> first_{kNone};
};

// The index of the first of `count` values that is not finite, or -1.
int64_t find_nonfinite(const float* x, int64_t count) {
  constexpr int32_t kLargest = 0x7f7fffff;  // of the finite magnitudes
  int32_t below = 0;                        // negative once one is larger
  for (int64_t i = 0; i < count; ++i) {
    below |= kLargest - static_cast<int32_t>(bits_of_float(x[i]) & 0x7fffffffu);
  }
  if (below >= 0) return -1;
  int64_t i = 0;
  while (static_cast<int32_t>(bits_of_float(x[i]) & 0x7fffffffu) <= kLargest) ++i;
  return i;
}

float weight_at(const QuantizeJob& job, int64_t weight) {
  const int64_t stride = job.weights.strides[job.weights.ndim - 1];
  float value = 0.0f;
  load_floats(row_address(job.weights, weight / job.k) + weight % job.k * stride, stride,
              job.weights.type, 1, &value);
  return value;
}

// Where a weight is, in words.
struct Place {
  char text[96];

  Place(const QuantizeJob& job, int64_t weight) {
    const int64_t row = weight / job.k;
    const int64_t column = weight % job.k;
    if (job.weights.ndim == 1) {
      std::snprintf(text, sizeof(text), "column %lld", ll(column));
    } else if (job.weights.ndim == 2) {
      std::snprintf(text, sizeof(text), "row %lld, column %lld", ll(job.first_row + row),
                    ll(column));
    } else {
      const int64_t n = job.weights.shape[job.weights.ndim - 2];
      std::snprintf(text, sizeof(text), "%s %lld, row %lld, column %lld",
                    job.weights.ndim == 3 ? "expert" : "matrix", ll(row / n),
                    ll(job.first_row + row % n), ll(column));
    }
  }
};

// Quantises the pieces of rows that a thread is given.
class Worker {
 public:
  Worker(const QuantizeJob& job, uint8_t* out, FirstFault& nonfinite, FirstFault& too_large)
      : job_(job),
        info_(format_at(job.format).info),
        quantizer_(*job.quantizer),
        out_(out),
        nonfinite_(nonfinite),
        too_large_(too_large) {}

  void operator()(int64_t begin, int64_t end) {
    const int64_t pieces = ceil_div(job_.k, kPieceWeights);
    for (int64_t i = begin; i < end; ++i) quantize_piece(i / pieces, i % pieces * kPieceWeights);
  }

 private:
  void quantize_piece(int64_t row, int64_t first) {
    const int64_t count = std::min(job_.k - first, kPieceWeights);
    const int64_t blocks = ceil_div(count, info_.block);
    const int64_t stride = job_.weights.strides[job_.weights.ndim - 1];
    alignas(64) float x[kPieceWeights];
    load_floats(row_address(job_.weights, row) + first * stride, stride, job_.weights.type, count,
                x);
    std::fill(x + count, x + blocks * info_.block, 0.0f);
    if (!quantizer_.keeps_nonfinite) {
      if (const int64_t i = find_nonfinite(x, count); i >= 0) {
        nonfinite_.report(row * job_.k + first + i);
        return;
      }
    }
    const float* importance = job_.importance;
    if (importance != nullptr) importance += row / job_.rows_per_expert * job_.padded_k + first;
    uint8_t* to = out_ + row * job_.row_bytes + first / info_.block * info_.bytes;
    if (!quantizer_.run(x, importance, blocks, to)) {
      too_large_.report(row * job_.k + first + find_too_large(x, importance, to));
    }
  }

  // The largest weight of the first block that does not hold its own; there is one.
  int64_t find_too_large(const float* x, const float* importance, uint8_t* to) const {
    int64_t first = 0;
    while (quantizer_.run(x + first, importance, 1, to)) {
      first += info_.block;
      if (importance != nullptr) importance += info_.block;
    }
    int64_t largest = first;
    for (int64_t i = first; i < first + info_.block; ++i) {
      if (std::fabs(x[i]) > std::fabs(x[largest])) largest = i;
    }
    return largest;
  }

  const QuantizeJob& job_;
  const FormatInfo& info_;
  const Quantizer& quantizer_;
  uint8_t* out_;
  FirstFault& nonfinite_;
  FirstFault& too_large_;
};

// One row of factors: over its largest, not below the least, and that past k.
Status read_factors(const ArrayView& imatrix, int64_t row, const QuantizeJob& job, float* out) {
  const int last = imatrix.ndim - 1;
  load_floats(row_address(imatrix, row), imatrix.strides[last], imatrix.type, job.k, out);
  float largest = 0.0f;
  for (int64_t i = 0; i < job.k; ++i) {
    const bool is_factor = out[i] >= 0.0f && out[i] <= std::numeric_limits<float>::max();
    if (!is_factor) {
      return Status::value_error("imatrix holds %g at column %lld; expected finite values from 0",
                                 static_cast<double>(out[i]), ll(i));
    }
    largest = std::max(largest, out[i]);
  }
  const float scale = largest > 0.0f ? largest : 1.0f;
  for (int64_t i = 0; i < job.k; ++i) out[i] = std::max(out[i] / scale, kLeastImportance);
  std::fill(out + job.k, out + job.padded_k, kLeastImportance);
  return {};
}

}  // namespace

bool can_quantize(const KernelTable& kernels, int format) {
  return kernels.quantizers->quantizers[format].run != nullptr;
}

bool takes_importance(const KernelTable& kernels, int format) {
  return kernels.quantizers->quantizers[format].takes_importance;
}

Status plan_quantize(const KernelTable& kernels, int format, const ArrayView& weights, bool pad,
                     QuantizeJob* out) {
  const FormatInfo& info = format_at(format).info;
  if (!can_quantize(kernels, format)) {
    return Status::value_error("nothing is quantised to %s", info.name);
  }
  QK_TRY(check_float(weights, "a"));
  const ShapeText shape(weights.shape, weights.ndim);
  if (weights.ndim == 0) return Status::value_error("a has no dimensions; its last one is k");
  QuantizeJob job{
      .format = format, .quantizer = &kernels.quantizers->quantizers[format], .weights = weights};
  const int last = weights.ndim - 1;
  job.rows = dims_product(weights, last);
  job.k = weights.shape[last];
  if (job.rows == 0 || job.k == 0) {
    return Status::value_error("a has shape %s: no weights", shape.text);
  }
  if (!pad && job.k % info.block != 0) {
    return Status::value_error(
        "k=%lld is no multiple of %s's %d weights a block; pad=True "
        "completes rows with zeros",
        ll(job.k), info.name, info.block);
  }
  QK_TRY(row_bytes(format, job.k, &job.row_bytes));
  int64_t total = 0;
  int64_t pieces = 0;
  if (dims_product(weights, weights.ndim) < 0 || !checked_mul(job.rows, job.row_bytes, &total) ||
      !checked_mul(job.rows, ceil_div(job.k, kPieceWeights), &pieces) ||
      !checked_round_up(job.k, kUnit, &job.padded_k)) {
    return Status::memory_error("a has shape %s, which passes 2^63 bytes", shape.text);
  }
  *out = job;
  return {};
}

Status importance_floats(const QuantizeJob& job, const ArrayView& imatrix, int64_t* floats) {
  QK_TRY(check_float(imatrix, "imatrix"));
  if (!job.quantizer->takes_importance) {
    return Status::value_error(
        "imatrix changes nothing of %s, whose blocks follow from the weights alone",
        format_at(job.format).info.name);
  }
  const bool is_shared = imatrix.ndim == 1 && imatrix.shape[0] == job.k;
  const bool is_stack = job.weights.ndim == 3 && imatrix.ndim == 2 &&
                        imatrix.shape[0] == job.weights.shape[0] && imatrix.shape[1] == job.k;
  if (!is_shared && !is_stack) {
    return Status::value_error("imatrix has shape %s, a has %s; expected (k,) or (experts, k)",
                               ShapeText(imatrix.shape, imatrix.ndim).text,
                               ShapeText(job.weights.shape, job.weights.ndim).text);
  }
  if (!checked_mul(is_stack ? imatrix.shape[0] : 1, job.padded_k, floats)) {
    return Status::memory_error("imatrix passes 2^63 values");
  }
  return {};
}

Status read_importance(const ArrayView& imatrix, float* floats, QuantizeJob* job) {
  const FpEnvironment environment;
  const int64_t rows = imatrix.ndim == 2 ? imatrix.shape[0] : 1;
  for (int64_t row = 0; row < rows; ++row) {
    QK_TRY(read_factors(imatrix, row, *job, floats + row * job->padded_k));
  }
  job->importance = floats;
  job->rows_per_expert = job->rows / rows;
  return {};
}

Status quantize(const Parallel& parallel, const QuantizeJob& job, uint8_t* out) {
  FirstFault nonfinite;
  FirstFault too_large;
  Worker worker(job, out, nonfinite, too_large);
  parallel(job.rows * ceil_div(job.k, kPieceWeights), 1, worker);
  const char* name = format_at(job.format).info.name;
  if (nonfinite.any()) {
    return Status::value_error("a holds a NaN or an infinity in %s; %s has none",
                               Place(job, nonfinite.first()).text, name);
  }
  if (too_large.any()) {
    return Status::value_error("a holds %g in %s, which is too large for %s",
                               static_cast<double>(weight_at(job, too_large.first())),
                               Place(job, too_large.first()).text, name);
  }
  return {};
}

}  // namespace qk
