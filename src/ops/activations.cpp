#include "ops/activations.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>

#include "core/aligned.h"
#include "core/array.h"
#include "core/checked.h"
#include "core/half.h"
#include "ops/shapes.h"

namespace qk {
namespace {

// A row whose largest |x| is in [2^-64, 2^64) is taken as it is: scales, products and sums then
// stay in float range. Other rows are scaled by the power of two that brings them near 1.
constexpr int kPlainExponent = 64;
constexpr uint32_t kInfinity = 0x7f800000u;

int64_t unit_bytes(Act act) {
  switch (act) {
    case Act::kInt16: return sizeof(Unit<Act::kInt16>);
    case Act::kInt8: return sizeof(Unit<Act::kInt8>);
    case Act::kFloat32: return sizeof(Unit<Act::kFloat32>);
  }
  return 0;
}

int row_exponent(uint32_t magnitude) {
  if (magnitude == 0) return 0;
  const int exponent = std::ilogb(float_of_bits(magnitude));
  if (exponent >= -kPlainExponent && exponent < kPlainExponent) return 0;
  return exponent < -126 ? -126 : exponent;  // 2^126 brings the least denormal to 2^-23
}

// Reads rows of x 256 values at a time, as float32, zero past k.
class RowReader {
 public:
  RowReader(const ArrayView& x, int64_t row)
      : first_(row_address(x, row)),
        stride_(x.strides[x.ndim - 1]),
        k_(x.shape[x.ndim - 1]),
        type_(x.type),
        direct_(x.type == ScalarType::kF32 && has_contiguous_rows(x) &&
                reinterpret_cast<uintptr_t>(x.data) % alignof(float) == 0 &&
                (row_address(x, row) - static_cast<uint8_t*>(x.data)) % 4 == 0) {}

  const float* read(int64_t unit) {
    const int64_t begin = unit * kUnit;
    const int64_t count = k_ - begin < kUnit ? k_ - begin : kUnit;
    const uint8_t* first = first_ + begin * stride_;
    if (direct_ && count == kUnit) return reinterpret_cast<const float*>(first);
    load_floats(first, stride_, type_, count, buffer_);
    std::memset(buffer_ + count, 0, static_cast<size_t>(kUnit - count) * sizeof(float));
    return buffer_;
  }

  int64_t k() const { return k_; }

 private:
  const uint8_t* first_;
  int64_t stride_;
  int64_t k_;
  ScalarType type_;
  bool direct_;
  alignas(64) float buffer_[kUnit];
};

// Units of a row as they are, or normalised. A row whose squares leave the floats is scaled by a
// power of two first.
class NormReader {
 public:
  NormReader(const KernelTable& kernels, RowReader& row, int64_t units, const RmsNorm* norm)
      : kernels_(kernels), row_(row), norm_(norm) {
    if (norm == nullptr) return;
    double mean = mean_square(units);
    const bool is_ordinary = mean >= kLeastMean && mean <= kMostMean;
    if (!is_ordinary) {
      scale_ = mean < 1.0 ? 0x1p96f : 0x1p-96f;
      mean = mean_square(units);
    }
    const auto scale = static_cast<double>(scale_);
    const double epsilon = static_cast<double>(norm->epsilon) * scale * scale;
    factor_ = static_cast<float>(1.0 / std::sqrt(mean + epsilon));
  }

  const float* read(int64_t unit) {
    if (norm_ == nullptr) return row_.read(unit);
    const int64_t begin = unit * kUnit;
    const int64_t count = std::min<int64_t>(row_.k() - begin, kUnit);
    kernels_.dense->normalise(scaled(unit), factor_, norm_->gains + begin, count, buffer_);
    std::memset(buffer_ + count, 0, static_cast<size_t>(kUnit - count) * sizeof(float));
    return buffer_;
  }

 private:
  // Within these no sum of 256 squares overflows, and those that underflow do not matter.
  static constexpr double kLeastMean = 0x1p-100;
  static constexpr double kMostMean = 0x1p127;

  const float* scaled(int64_t unit) {
    const float* x = row_.read(unit);
    if (scale_ == 1.0f) return x;
    for (int64_t i = 0; i < kUnit; ++i) buffer_[i] = x[i] * scale_;
    return buffer_;
  }

  double mean_square(int64_t units) {
    double squares = 0.0;
    for (int64_t u = 0; u < units; ++u) {
      squares += static_cast<double>(kernels_.dense->sum_squares(scaled(u), kUnit));
    }
    return squares / static_cast<double>(row_.k());
  }

  const KernelTable& kernels_;
  RowReader& row_;
  const RmsNorm* norm_;
  float scale_ = 1.0f;
  float factor_ = 1.0f;
  alignas(64) float buffer_[kUnit];
};

float quantize_row(const KernelTable& kernels, NormReader& row, Act act, int64_t units,
                   std::byte* out) {
  const int64_t bytes = unit_bytes(act);
  uint32_t magnitude = 0;
  for (int64_t u = 0; u < units; ++u) {
    magnitude = std::max(magnitude, kernels.activations->magnitude(row.read(u)));
  }
  if (magnitude >= kInfinity && act != Act::kFloat32) {
    std::memset(out, 0, static_cast<size_t>(units * bytes));
    return std::numeric_limits<float>::quiet_NaN();
  }
  const int exponent = magnitude >= kInfinity ? 0 : row_exponent(magnitude);
  const float multiplier = std::ldexp(1.0f, -exponent);
  for (int64_t u = 0; u < units; ++u) {
    kernels.activations->activate[static_cast<int>(act)](row.read(u), multiplier, out + u * bytes);
  }
  return std::ldexp(1.0f, exponent);
}

// Row scales come first, in whole cache lines, then the units.
bool layout_of(Act act, int64_t m, int64_t k, int64_t* scale_bytes, int64_t* total) {
  int64_t units = 0;
  return checked_mul(m, static_cast<int64_t>(sizeof(float)), scale_bytes) &&
         checked_round_up(*scale_bytes, kCacheLine, scale_bytes) &&
         checked_mul(m, ceil_div(k, kUnit), &units) && checked_mul(units, unit_bytes(act), total) &&
         checked_add(*total, *scale_bytes, total);
}

}  // namespace

Status activations_bytes(Act act, int64_t m, int64_t k, int64_t* bytes) {
  int64_t scale_bytes = 0;
  if (!layout_of(act, m, k, &scale_bytes, bytes)) {
    return Status::value_error("activations of (m, k) = (%lld, %lld) pass 2^63 bytes",
                               static_cast<long long>(m), static_cast<long long>(k));
  }
  return {};
}

Status quantize_activations(const Parallel& parallel, const KernelTable& kernels,
                            const ArrayView& x, Act act, std::byte* memory, ActivationsView* out,
                            const RmsNorm* norm) {
  int64_t m = 0;
  int64_t k = 0;
  QK_TRY(check_activations(x, &m, &k));
  int64_t scale_bytes = 0;
  int64_t total = 0;
  if (!layout_of(act, m, k, &scale_bytes, &total)) return activations_bytes(act, m, k, &total);
  auto* row_scales = reinterpret_cast<float*>(memory);
  std::byte* units = memory + scale_bytes;
  const int64_t units_per_row = ceil_div(k, kUnit);
  const int64_t row_bytes = units_per_row * unit_bytes(act);
  auto quantize_rows = [&](int64_t begin, int64_t end) {
    for (int64_t row = begin; row < end; ++row) {
      RowReader plain(x, row);
      NormReader reader(kernels, plain, units_per_row, norm);
      row_scales[row] = quantize_row(kernels, reader, act, units_per_row, units + row * row_bytes);
    }
  };
  constexpr int64_t kGrainUnits = 64;  // some microseconds of work
  parallel(m, ceil_div(kGrainUnits, units_per_row), quantize_rows);
  *out = {&kernels, act, m, k, units_per_row, units, row_scales};
  return {};
}

}  // namespace qk
