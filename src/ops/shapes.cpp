#include "ops/shapes.h"

#include <cmath>
#include <cstring>

#include "core/array.h"
#include "core/checked.h"
#include "formats/registry.h"
#include "ops/shape_text.h"

namespace qk {
namespace {

constexpr const char* kActNames[] = {"int16", "float32", "int8"};  // in the order of Act

bool has_shape(const ArrayView& array, const int64_t* shape, int ndim) {
  return array.ndim == ndim &&
         std::memcmp(array.shape, shape, sizeof(int64_t) * static_cast<size_t>(ndim)) == 0;
}

Status check_strides(const ArrayView& data) {
  for (int d = 0; d < data.ndim; ++d) {
    if (data.shape[d] > 1 && data.strides[d] < 0) {
      return Status::value_error("weights have a negative stride (%lld) in dimension %d",
                                 ll(data.strides[d]), d);
    }
  }
  return {};
}

}  // namespace

Status check_float(const ArrayView& array, const char* what) {
  if (is_float(array.type)) return {};
  return Status::type_error("%s has dtype %s; expected float32, float16 or bfloat16", what,
                            type_name(array.type));
}

Status parse_act(const char* name, Act* out) {
  for (int i = 0; i < kActs; ++i) {
    if (std::strcmp(name, kActNames[i]) != 0) continue;
    *out = static_cast<Act>(i);
    return {};
  }
  return Status::value_error("act='%.40s' is not one of int16, float32, int8", name);
}

const char* act_name(Act act) { return kActNames[static_cast<int>(act)]; }

Act effective_act(int format, Act act) { return format_at(format).is_float ? Act::kFloat32 : act; }

Act common_act(std::initializer_list<const WeightView*> matrices, Act act) {
  for (const WeightView* weights : matrices) act = effective_act(weights->format, act);
  return act;
}

Status view_weights(const ArrayView& data, int format, int64_t k, WeightView* out) {
  const FormatInfo& info = format_at(format).info;
  if (data.type != ScalarType::kU8) {
    return Status::type_error("weights have dtype %s; raw blocks are uint8", type_name(data.type));
  }
  if (data.ndim < 1) {
    return Status::value_error("weights have no dimensions; the last one is the bytes of a row");
  }
  bool is_empty = false;  // whose strides say nothing
  for (int d = 0; d < data.ndim; ++d) is_empty = is_empty || data.shape[d] == 0;
  if (!is_empty) QK_TRY(check_strides(data));
  const int last = data.ndim - 1;
  if (k < 1) return Status::value_error("k=%lld; weights need k >= 1", ll(k));
  int64_t bytes = 0;
  QK_TRY(row_bytes(format, k, &bytes));
  if (bytes != data.shape[last]) {
    const int64_t blocks = ceil_div(k, info.block);
    return Status::value_error("k=%lld needs %lld %s block%s (%lld bytes) a row, weights have %lld",
                               ll(k), ll(blocks), info.name, blocks == 1 ? "" : "s", ll(bytes),
                               ll(data.shape[last]));
  }
  if (!is_empty && !has_contiguous_rows(data)) {
    return Status::value_error("the bytes of a weight row lie %lld apart; rows must be contiguous",
                               ll(data.strides[last]));
  }
  *out = {};
  out->data = static_cast<const uint8_t*>(data.data);
  out->ndim = data.ndim;
  out->n = last > 0 ? data.shape[last - 1] : 1;
  // Of a single row there is no stride, and it may be anything.
  out->row_stride = out->n > 1 ? data.strides[last - 1] : bytes;
  for (int d = 0; d < last - 1; ++d) {
    out->stack_shape[d] = data.shape[d];
    out->stack_strides[d] = data.shape[d] > 1 ? data.strides[d] : 0;
  }
  out->k = k;
  out->format = format;
  out->experts = last > 1 ? dims_product(data, last - 1) : 1;
  int64_t weights = 0;
  if (dims_product(data, last) < 0 || !checked_mul(dims_product(data, last), k, &weights)) {
    return Status::value_error("weights of shape %s hold over 2^63 weights",
                               ShapeText(data.shape, data.ndim).text);
  }
  return weight_bytes(*out, &bytes);
}

Status weight_bytes(const WeightView& weights, int64_t* bytes) {
  if (weights.n == 0 || weights.experts == 0) {
    *bytes = 0;
    return {};
  }
  QK_TRY(row_bytes(weights.format, weights.k, bytes));
  bool fits = true;
  const auto add = [&](int64_t extent, int64_t stride) {
    int64_t reach = 0;
    fits = fits && checked_mul(extent - 1, stride, &reach) && checked_add(*bytes, reach, bytes);
  };
  add(weights.n, weights.row_stride);
  for (int d = 0; d < weights.ndim - 2; ++d) add(weights.stack_shape[d], weights.stack_strides[d]);
  if (!fits) return Status::value_error("the weights' rows lie up to 2^63 bytes apart");
  return {};
}

Status depth_of_row(int format, int64_t bytes, int64_t* k) {
  const FormatInfo& info = format_at(format).info;
  if (bytes <= 0 || bytes % info.bytes != 0) {
    return Status::value_error("a row of %lld bytes is not a whole number of %s blocks (%d bytes)",
                               ll(bytes), info.name, info.bytes);
  }
  if (!checked_mul(bytes / info.bytes, info.block, k)) {
    return Status::value_error("a row of %lld bytes of %s holds over 2^63 weights", ll(bytes),
                               info.name);
  }
  return {};
}

Status check_activations(const ArrayView& x, int64_t* m, int64_t* k) {
  QK_TRY(check_float(x, "x"));
  if (x.ndim < 1) return Status::value_error("x has no dimensions; its last one is k");
  *k = x.shape[x.ndim - 1];
  if (*k < 1) {
    return Status::value_error("x has shape %s: k is 0", ShapeText(x.shape, x.ndim).text);
  }
  *m = dims_product(x, x.ndim - 1);
  int64_t values = 0;
  if (*m < 0 || !checked_mul(*m, *k, &values)) {
    return Status::value_error("x has shape %s: over 2^63 values", ShapeText(x.shape, x.ndim).text);
  }
  return {};
}

Status check_matrix(const WeightView& weights) {
  if (weights.ndim == 2) return {};
  int64_t shape[kMaxDims];
  shape_of(weights, shape);
  const ShapeText text(shape, weights.ndim);
  if (weights.ndim == 1) {
    return Status::value_error(
        "weights of shape %s are a vector; as a matrix of one row they are"
        " w.reshape(1, -1)",
        text.text);
  }
  return Status::value_error(
      "weights of shape %s are a stack of %lld matrices; select one, as in"
      " w[0], or take the rows of all as w.reshape(-1, %lld)",
      text.text, ll(weights.experts), ll(weights.k));
}

Status check_product(const WeightView& weights, int64_t k) {
  QK_TRY(check_matrix(weights));
  if (weights.k != k) {
    return Status::value_error("x has k=%lld, weights have k=%lld (%s, n=%lld)", ll(k),
                               ll(weights.k), format_at(weights.format).info.name, ll(weights.n));
  }
  return {};
}

Status check_out(const ArrayView& out, const int64_t* shape, int ndim) {
  QK_TRY(check_float(out, "out"));
  if (!out.writable) return Status::value_error("out is read-only");
  if (!has_shape(out, shape, ndim)) {
    return Status::value_error("out has shape %s, the result %s",
                               ShapeText(out.shape, out.ndim).text, ShapeText(shape, ndim).text);
  }
  for (int d = 0; d < ndim; ++d) {
    if (shape[d] > 1 && out.strides[d] < 0) {
      return Status::value_error("out has a negative stride (%lld) in dimension %d",
                                 ll(out.strides[d]), d);
    }
  }
  if (has_overlapping_elements(out)) {
    return Status::value_error("out has elements that share memory: shape %s, strides %s",
                               ShapeText(shape, ndim).text, ShapeText(out.strides, ndim).text);
  }
  return {};
}

Status check_bias(const ArrayView& bias, int64_t n) {
  QK_TRY(check_float(bias, "bias"));
  if (bias.ndim != 1 || bias.shape[0] != n) {
    return Status::value_error("bias has shape %s, the result has n=%lld",
                               ShapeText(bias.shape, bias.ndim).text, ll(n));
  }
  return {};
}

Status check_norm(const ArrayView& gains, int64_t k, double epsilon) {
  QK_TRY(check_float(gains, "gains"));
  if (gains.ndim != 1 || gains.shape[0] != k) {
    return Status::value_error("gains has shape %s, x has k=%lld",
                               ShapeText(gains.shape, gains.ndim).text, ll(k));
  }
  const auto narrow = static_cast<float>(epsilon);
  if (!std::isfinite(narrow) || epsilon < 0.0 || (narrow == 0.0f && epsilon > 0.0)) {
    return Status::value_error("eps=%g is not 0 or a positive, finite float32", epsilon);
  }
  return {};
}

Status check_residual(const ArrayView& residual, const int64_t* shape, int ndim) {
  QK_TRY(check_float(residual, "residual"));
  if (!has_shape(residual, shape, ndim)) {
    return Status::value_error("residual has shape %s, the result %s",
                               ShapeText(residual.shape, residual.ndim).text,
                               ShapeText(shape, ndim).text);
  }
  return {};
}

}  // namespace qk
