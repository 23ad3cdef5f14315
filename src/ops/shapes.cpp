#include "ops/shapes.h"

#include <cstdio>
#include <cstring>

#include "core/array.h"
#include "core/checked.h"
#include "formats/registry.h"

namespace qk {
namespace {

constexpr const char* kActNames[] = {"int16", "float32", "int8"};  // in the order of Act

long long ll(int64_t value) { return static_cast<long long>(value); }

// "(2, 3)" as Python prints it.
struct ShapeText {
  char text[96];
  ShapeText(const int64_t* shape, int ndim) {
    size_t used = 1;
    std::snprintf(text, sizeof(text), "(");
    for (int d = 0; d < ndim && used < sizeof(text); ++d) {
      const char* after = ndim == 1 ? "," : "";
      if (d + 1 < ndim) after = ", ";
      const int written =
          std::snprintf(text + used, sizeof(text) - used, "%lld%s", ll(shape[d]), after);
      used += written > 0 ? static_cast<size_t>(written) : 0;
    }
    if (used < sizeof(text)) std::snprintf(text + used, sizeof(text) - used, ")");
  }
};

}  // namespace

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

Status view_weights(const ArrayView& data, int format, int64_t k, WeightView* out) {
  const FormatInfo& info = format_at(format).info;
  if (data.type != ScalarType::kU8) {
    return Status::type_error("weights have dtype %s; raw blocks are uint8", type_name(data.type));
  }
  const ShapeText shape(data.shape, data.ndim);
  if (data.ndim != 2 && data.ndim != 3) {
    return Status::value_error(
        "weights have shape %s; expected (n, row_bytes) or (experts, n, row_bytes)", shape.text);
  }
  for (int d = 0; d < data.ndim; ++d) {
    if (data.shape[d] == 0) return Status::value_error("weights have shape %s: empty", shape.text);
    if (data.shape[d] > 1 && data.strides[d] < 0) {
      return Status::value_error("weights have a negative stride (%lld) in dimension %d",
                                 ll(data.strides[d]), d);
    }
  }
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
  if (!has_contiguous_rows(data)) {
    return Status::value_error("the bytes of a weight row lie %lld apart; rows must be contiguous",
                               ll(data.strides[last]));
  }
  *out = {};
  out->data = static_cast<const uint8_t*>(data.data);
  out->experts = data.ndim == 3 ? data.shape[0] : 1;
  out->expert_stride = data.ndim == 3 ? data.strides[0] : 0;
  out->n = data.shape[last - 1];
  out->row_stride = data.strides[last - 1];
  out->k = k;
  out->format = format;
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
  if (!is_float(x.type)) {
    return Status::type_error("x has dtype %s; expected float32, float16 or bfloat16",
                              type_name(x.type));
  }
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

Status check_product(const WeightView& weights, int64_t k) {
  if (weights.experts != 1) {
    return Status::value_error("weights hold %lld experts; select one, as in weights[0]",
                               ll(weights.experts));
  }
  if (weights.k != k) {
    return Status::value_error("x has k=%lld, weights have k=%lld (%s, n=%lld)", ll(k),
                               ll(weights.k), format_at(weights.format).info.name, ll(weights.n));
  }
  return {};
}

Status check_out(const ArrayView& out, const int64_t* shape, int ndim) {
  if (!is_float(out.type)) {
    return Status::type_error("out has dtype %s; expected float32, float16 or bfloat16",
                              type_name(out.type));
  }
  if (!out.writable) return Status::value_error("out is read-only");
  if (out.ndim != ndim ||
      std::memcmp(out.shape, shape, sizeof(int64_t) * static_cast<size_t>(ndim)) != 0) {
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
  if (!is_float(bias.type)) {
    return Status::type_error("bias has dtype %s; expected float32, float16 or bfloat16",
                              type_name(bias.type));
  }
  if (bias.ndim != 1 || bias.shape[0] != n) {
    return Status::value_error("bias has shape %s, the result has n=%lld",
                               ShapeText(bias.shape, bias.ndim).text, ll(n));
  }
  return {};
}

}  // namespace qk
