#include "product_bound.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <string_view>

#include "core/array.h"
#include "formats/format.h"
#include "formats/registry.h"

namespace qk::fuzz {
namespace {

constexpr double kRelative = 1e-4;
constexpr double kLargest = 0x1p120;  // sums of less stay finite, whatever their order
// A product of two scales that underflows is off by 2^-150, times an integer sum below 2^29.
constexpr double kUnderflow = 0x1p-121;
constexpr double kQuantum = 1.0 / 64.0;  // of a group's largest |x|: more than quantising it moves

// Where the quants of a block lie, in formats with mins: a weight can be 0 while its terms are not.
struct QuantBytes {
  std::string_view format;
  int begin;
  int end;
};
constexpr QuantBytes kQuants[] = {
    {"q4_1", 4, 20},   {"q5_1", 4, 24},   {"q2_k", 16, 80},
    {"q4_k", 16, 144}, {"q5_k", 16, 176}, {"q8_ks", 0, 256},
};
constexpr uint8_t kFills[] = {0x00, 0x80, 0xff};  // zero, and the largest in some sense or other

// Adds, for each weight of a row, what it would be at most if it had another quant.
void add_other_quants(const WeightView& weights, const QuantBytes& quants, int64_t row,
                      std::vector<double>& terms) {
  const Format& format = format_at(weights.format);
  std::vector<uint8_t> block(static_cast<size_t>(format.info.bytes));
  std::vector<float> others(static_cast<size_t>(format.info.block));
  const uint8_t* at = weights.data + row * weights.row_stride;
  for (int64_t begin = 0; begin < weights.k; begin += format.info.block) {
    const int64_t count = std::min<int64_t>(format.info.block, weights.k - begin);
    std::memcpy(block.data(), at, block.size());
    for (const uint8_t fill : kFills) {
      std::fill(block.begin() + quants.begin, block.begin() + quants.end, fill);
      format.decode(block.data(), others.data());
      for (int64_t i = 0; i < count; ++i) {
        terms[static_cast<size_t>(begin + i)] +=
            std::abs(static_cast<double>(others[static_cast<size_t>(i)]));
      }
    }
    at += format.info.bytes;
  }
}

// One row's |terms|, each at least as large as what a kernel adds up for that weight.
std::vector<double> terms_of_row(const WeightView& weights, const float* decoded, int64_t row) {
  const Format& format = format_at(weights.format);
  std::vector<double> terms(decoded, decoded + weights.k);
  for (double& term : terms) term = std::abs(term);
  for (const QuantBytes& quants : kQuants) {
    if (quants.format == format.info.name) add_other_quants(weights, quants, row, terms);
  }
  return terms;
}

// Whether a weight past the row's depth is not finite. It meets an x of zero, and makes NaN where
// kernels scale weights before they multiply them.
bool overflows_past_depth(const WeightView& weights, int64_t row) {
  const Format& format = format_at(weights.format);
  const int64_t used = weights.k % format.info.block;
  if (used == 0) return false;
  std::vector<float> block(static_cast<size_t>(format.info.block));
  const int64_t last = weights.k / format.info.block * format.info.bytes;
  format.decode(weights.data + row * weights.row_stride + last, block.data());
  return std::any_of(block.begin() + used, block.end(), [](float w) { return !std::isfinite(w); });
}

struct XRow {
  std::vector<double> magnitudes;  // |x|, and what quantising may add
  double largest = 0.0;
};

XRow magnitudes_of(const ArrayView& x, int64_t j) {
  const int64_t k = x.shape[1];
  std::vector<float> values(static_cast<size_t>(k));
  load_floats(row_address(x, j), x.strides[1], x.type, k, values.data());
  XRow row;
  for (int64_t begin = 0; begin < k; begin += kActivationGroup) {
    const int64_t end = std::min<int64_t>(begin + kActivationGroup, k);
    double largest = 0.0;
    for (int64_t i = begin; i < end; ++i) {
      largest = std::max(largest, std::abs(static_cast<double>(values[static_cast<size_t>(i)])));
    }
    for (int64_t i = begin; i < end; ++i) {
      row.magnitudes.push_back(std::abs(static_cast<double>(values[static_cast<size_t>(i)])) +
                               kQuantum * largest);
    }
    row.largest = std::max(row.largest, largest);
  }
  return row;
}

// Rows of very large or small |x| are scaled to near 1 and their sums scaled back.
double scale_of(double largest) {
  if (largest == 0.0 || !std::isfinite(largest)) return 1.0;
  const int exponent = std::ilogb(largest);
  return exponent >= -64 && exponent < 64 ? 1.0 : std::ldexp(1.0, exponent);
}

}  // namespace

ProductBound::ProductBound(const WeightView& weights, const std::vector<float>& decoded,
                           const ArrayView& x)
    : n_(weights.n), limits_(static_cast<size_t>(weights.n * x.shape[0])) {
  std::vector<XRow> rows;
  for (int64_t j = 0; j < x.shape[0]; ++j) rows.push_back(magnitudes_of(x, j));
  for (int64_t i = 0; i < n_; ++i) {
    const std::vector<double> terms = terms_of_row(weights, decoded.data() + i * weights.k, i);
    const bool infinite_weight =
        overflows_past_depth(weights, i) ||
        std::ranges::any_of(terms, [](double term) { return std::isinf(term); });
    for (int64_t j = 0; j < x.shape[0]; ++j) {
      const XRow& row = rows[static_cast<size_t>(j)];
      const double scale = scale_of(row.largest);
      double sum = 0.0;
      for (size_t e = 0; e < terms.size(); ++e) sum += terms[e] * row.magnitudes[e];
      double limit = kRelative * sum + kUnderflow * scale * static_cast<double>(weights.k);
      // Anything that is not finite leaves no result finite, which needs no limit. But a finite
      // scale times a quant may be infinite where the sum that a kernel scales is not.
      if (!std::isfinite(sum)) limit = 0.0;
      const bool may_overflow = infinite_weight || sum > kLargest || sum / scale > kLargest;
      if (may_overflow && std::isfinite(row.largest)) limit = std::nan("");
      limits_[static_cast<size_t>(j * n_ + i)] = limit;
    }
  }
}

}  // namespace qk::fuzz
