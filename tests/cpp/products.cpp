#include "products.h"

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <cstring>
#include <sstream>
#include <string>

#include "core/aligned.h"
#include "core/half.h"
#include "ops/linear.h"
#include "ops/pack.h"

namespace qk::test {
namespace {

constexpr uint32_t kUnwritten = 0x7f9eadbeu;  // a signalling NaN: arithmetic makes quiet ones only

int64_t packed_row_size(const WeightView& weights) {
  int64_t size = 0;
  QK_CHECK_OK(packed_row_bytes(weights.format, weights.k, &size));
  return size;
}

int64_t packed_size(const WeightView& weights, int rows) {
  int64_t size = 0;
  QK_CHECK_OK(packed_bytes(weights.n, packed_row_size(weights), rows, &size));
  return size;
}

}  // namespace

bool is_named(const char* variable, const char* name) {
  // NOLINTNEXTLINE(concurrency-mt-unsafe): nothing here changes the environment.
  const char* names = std::getenv(variable);
  if (names == nullptr) return true;
  std::istringstream words(names);
  std::string word;
  while (words >> word) {
    if (word == name) return true;
  }
  return false;
}

Parallel one_by_one() {
  const auto run = [](void*, int, int64_t n, int64_t, RangeFn fn, void* context) {
    for (int64_t i = n - 1; i >= 0; --i) fn(context, i, i + 1);
  };
  return {run, nullptr, 1};
}

Product::Product(int64_t rows, int64_t m)
    : n(rows),
      out(static_cast<size_t>(std::max<int64_t>(m * (rows + kGap) - kGap, 0)),
          float_of_bits(kUnwritten)) {}

bool Product::written(int64_t index) const {
  return bits_of_float(out[static_cast<size_t>(index)]) != kUnwritten;
}

bool Product::is_complete() const {
  const auto size = static_cast<int64_t>(out.size());
  for (int64_t index = 0; index < size; ++index) {
    if (written(index) != (index % stride() < n)) return false;
  }
  return true;
}

bool Product::is_untouched() const {
  return std::ranges::all_of(out, [](float v) { return bits_of_float(v) == kUnwritten; });
}

bool Product::same_bits(const Product& other) const {
  return out.size() == other.out.size() &&
         (out.empty() || std::memcmp(out.data(), other.out.data(), out.size() * 4) == 0);
}

Product multiply(const Parallel& parallel, const KernelTable& kernels, const WeightView& weights,
                 const ArrayView& x, Act act, const float* bias) {
  Product product(weights.n, x.shape[0]);
  int64_t bytes = 0;
  AlignedBuffer memory;
  ActivationsView activations;
  product.status = activations_bytes(act, x.shape[0], x.shape[1], &bytes);
  if (product.status.ok()) product.status = memory.reserve(bytes);
  if (product.status.ok()) {
    product.status = quantize_activations(parallel, kernels, x, act, memory.data(), &activations);
  }
  if (product.status.ok()) {
    product.status = linear(
        parallel, kernels, activations,
        {.weights = &weights, .out = product.data(), .out_stride = product.stride(), .bias = bias});
  }
  return product;
}

Packed::Packed(const RandomWeights& weights, int rows)
    : bytes(packed_size(weights.view, rows), 0), view(weights.view) {
  view.layout = Layout::kPanels;
  view.data = bytes.data();
  view.row_stride = packed_row_size(weights.view);
  pack(one_by_one(), weights.view, rows, bytes.data());
}

double bound_of(Act act) {
  switch (act) {
    case Act::kInt16: return 1e-4;
    case Act::kFloat32: return 2e-6;
    case Act::kInt8: return 2e-2;
  }
  return 0.0;
}

void Error::add(const Product& product, const std::vector<double>& exact) {
  const auto size = static_cast<int64_t>(exact.size());
  for (int64_t index = 0; index < size; ++index) {
    const double expected = exact[static_cast<size_t>(index)];
    const auto actual = static_cast<double>(product.at(index / product.n, index % product.n));
    difference += (actual - expected) * (actual - expected);
    reference += expected * expected;
  }
  outputs += size;
}

double Error::relative() const { return std::sqrt(difference / reference); }

}  // namespace qk::test
