#include "ops/rope.h"

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <cstring>

#include "core/array.h"
#include "core/fp_environment.h"
#include "kernels/dense.h"
#include "ops/shape_text.h"
#include "ops/shapes.h"

namespace qk {
namespace {

constexpr const char* kKinds[] = {"interleaved", "neox"};  // in the order of RopeKind

Status check_positive(const char* what, double value) {
  if (std::isfinite(value) && value > 0.0) return {};
  return Status::value_error("%s=%g is not a finite number above 0", what, value);
}

}  // namespace

const char* rope_kind_name(RopeKind kind) { return kKinds[static_cast<int>(kind)]; }

Status parse_rope_kind(const char* name, RopeKind* out) {
  for (int i = 0; i < 2; ++i) {
    if (std::strcmp(name, kKinds[i]) != 0) continue;
    *out = static_cast<RopeKind>(i);
    return {};
  }
  return Status::value_error("the kind of RoPE '%.40s' is not one of interleaved, neox", name);
}

Status check_rope(const Rope& rope, const ArrayView& x) {
  QK_TRY(check_float(x, "x"));
  const ShapeText shape(x.shape, x.ndim);
  if (x.ndim < 2) {
    return Status::value_error("x has shape %s; expected (..., tokens, head_dim)", shape.text);
  }
  const int64_t head_dim = x.shape[x.ndim - 1];
  if (head_dim < 2 || head_dim > kMaxHeadDim || head_dim % 2 != 0) {
    return Status::value_error("x has heads of %lld values; RoPE rotates pairs, of 2 to %d values",
                               ll(head_dim), kMaxHeadDim);
  }
  if (dims_product(x, x.ndim) < 0) {
    return Status::value_error("x has shape %s: over 2^63 values", shape.text);
  }
  QK_TRY(check_positive("base", rope.base));
  return check_positive("scale", rope.scale);
}

Status read_factors(const ArrayView& factors, int64_t head_dim, float* out) {
  const FpEnvironment environment;
  QK_TRY(check_float(factors, "factors"));
  if (factors.ndim != 1 || factors.shape[0] != head_dim / 2) {
    return Status::value_error("factors has shape %s, heads of %lld values have %lld pairs",
                               ShapeText(factors.shape, factors.ndim).text, ll(head_dim),
                               ll(head_dim / 2));
  }
  load_floats(static_cast<const uint8_t*>(factors.data), factors.strides[0], factors.type,
              head_dim / 2, out);
  for (int64_t i = 0; i < head_dim / 2; ++i) {
    char name[32];
    std::snprintf(name, sizeof(name), "factors[%lld]", ll(i));
    QK_TRY(check_positive(name, static_cast<double>(out[i])));
  }
  return {};
}

Status check_angles(const Rope& rope, const ArrayView& x, const int64_t* positions,
                    bool consecutive) {
  const int64_t tokens = x.shape[x.ndim - 2];
  const int64_t head_dim = x.shape[x.ndim - 1];
  double frequencies[kMaxHeadDim / 2];
  rope_frequencies(rope, head_dim, frequencies);
  const double fastest = *std::max_element(frequencies, frequencies + head_dim / 2);
  double furthest = 0.0;
  for (int64_t i = 0; i < (consecutive ? 2 : tokens); ++i) {
    const int64_t position = consecutive ? positions[0] + i * (tokens - 1) : positions[i];
    furthest = std::max(furthest, std::fabs(static_cast<double>(position)));
  }
  // The frequency itself, as infinity times a position of 0 is not a number.
  if (tokens == 0 || (std::isfinite(fastest) && std::isfinite(furthest * fastest))) return {};
  return Status::value_error("base=%g and scale=%g turn by %g a position: angles past the doubles",
                             rope.base, rope.scale, fastest);
}

void rope_rows(const Parallel& parallel, const Rope& rope, const ArrayView& x,
               const int64_t* positions, bool consecutive, const ArrayView& out) {
  const int last = x.ndim - 1;
  const int64_t tokens = x.shape[last - 1];
  const int64_t head_dim = x.shape[last];
  const int64_t heads = dims_product(x, last - 1);
  const FpEnvironment environment;
  double frequencies[kMaxHeadDim / 2];
  rope_frequencies(rope, head_dim, frequencies);
  auto body = [&](int64_t begin, int64_t end) {
    float sincos[kMaxHeadDim];
    float row[kMaxHeadDim];
    for (int64_t token = begin; token < end; ++token) {
      const int64_t position = consecutive ? positions[0] + token : positions[token];
      rope_sincos(frequencies, head_dim / 2, position, sincos);
      for (int64_t head = 0; head < heads; ++head) {
        const int64_t at = head * tokens + token;
        load_floats(row_address(x, at), x.strides[last], x.type, head_dim, row);
        rotate(rope.kind, head_dim, sincos, 1, row);
        store_floats(row, head_dim, row_address(out, at), out.strides[last], out.type);
      }
    }
  };
  constexpr int64_t kGrainTokens = 8;  // some microseconds of sines
  parallel(heads == 0 ? 0 : tokens, kGrainTokens, body);
}

void rope_frequencies(const Rope& rope, int64_t head_dim, double* frequencies) {
  for (int64_t i = 0; i < head_dim / 2; ++i) {
    const double exponent = -2.0 * static_cast<double>(i) / static_cast<double>(head_dim);
    frequencies[i] = std::pow(rope.base, exponent) / rope.scale;
    if (rope.factors != nullptr) frequencies[i] /= static_cast<double>(rope.factors[i]);
  }
}

void rope_sincos(const double* frequencies, int64_t pairs, int64_t position, float* sincos) {
  for (int64_t i = 0; i < pairs; ++i) {
    const double angle = static_cast<double>(position) * frequencies[i];
    sincos[2 * i] = static_cast<float>(std::cos(angle));
    sincos[2 * i + 1] = static_cast<float>(std::sin(angle));
  }
}

void rotate(RopeKind kind, int64_t head_dim, const float* sincos, int64_t heads, float* x) {
  const int64_t step = kind == RopeKind::kInterleaved ? 2 : 1;
  const int64_t apart = kind == RopeKind::kInterleaved ? 1 : head_dim / 2;
  for (int64_t head = 0; head < heads; ++head) {
    float* first = x + head * head_dim;
    for (int64_t i = 0; i < head_dim / 2; ++i) {
      const float a = first[i * step];
      const float b = first[i * step + apart];
      first[i * step] = a * sincos[2 * i] - b * sincos[2 * i + 1];
      first[i * step + apart] = a * sincos[2 * i + 1] + b * sincos[2 * i];
    }
  }
}

}  // namespace qk
