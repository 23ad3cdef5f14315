// Each ISA that this CPU runs against the scalar one, on any blocks, in the file's layout and in
// panels, and any activations.
//
// The input chooses format, n, k, m, kind of activations, strides and offsets, and how weights and
// x are filled: from its bytes, as far as they go, or at random from a seed. Weights, x,
// activations and results end at a guard page each.
#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <fuzzer/FuzzedDataProvider.h>
#include <vector>

#include "core/array.h"
#include "core/checked.h"
#include "core/half.h"
#include "core/pool.h"
#include "dispatch/dispatch.h"
#include "finding.h"
#include "formats/registry.h"
#include "guarded.h"
#include "inputs.h"
#include "ops/activations.h"
#include "ops/decode.h"
#include "ops/linear.h"
#include "ops/pack.h"
#include "ops/shapes.h"
#include "product_bound.h"

namespace qk::fuzz {
namespace {

constexpr int64_t kMostRows = 24;
constexpr int64_t kMostDepth = 1100;
constexpr int64_t kMostBatch = 40;  // batches of 16 and more take other ways than smaller ones
constexpr int64_t kGap = 2;         // floats between the batch rows of a result
constexpr uint32_t kUnwritten = 0x7f9eadbeu;  // a signalling NaN: arithmetic makes quiet ones only

struct Case {
  WeightView weights;
  ArrayView x;
  Act act = Act::kInt16;
};

struct Arenas {
  Guarded weights{2 * kMostRows * kMostDepth * 5};
  Guarded panels{(kMostRows + 16) * kMostDepth * 5};
  Guarded unpacked{kMostRows * kMostDepth * 5};
  Guarded x{kMostBatch * kMostDepth * 4 + 8};
  Guarded activations{kMostBatch * kMostDepth * 16};
  Guarded out{kMostRows * kMostDepth * 4};  // of a decoding, or of a product, which is smaller
};

Arenas& arenas() {
  static Arenas all;
  return all;
}

WeightView make_weights(FuzzedDataProvider& input) {
  WeightView weights;
  weights.format = input.ConsumeIntegralInRange<int>(0, format_count() - 1);
  weights.n = input.ConsumeIntegralInRange<int64_t>(1, kMostRows);
  weights.k = input.ConsumeIntegralInRange<int64_t>(1, kMostDepth);
  int64_t bytes = 0;
  const Status status = row_bytes(weights.format, weights.k, &bytes);
  QK_FINDING_UNLESS(status.ok(), "%s", status.message);
  weights.row_stride = bytes * input.ConsumeIntegralInRange<int64_t>(1, 2);
  const int64_t size = (weights.n - 1) * weights.row_stride + bytes;
  uint8_t* data = arenas().weights.take(size);
  fill(input, data, size);
  overwrite(input, data, size);
  weights.data = data;
  return weights;
}

// Few of the inputs have many batch rows, which cost as much as many inputs.
int64_t batch_rows(FuzzedDataProvider& input) {
  switch (input.ConsumeIntegralInRange<int>(0, 15)) {
    case 0: return input.ConsumeIntegralInRange<int64_t>(16, kMostBatch);
    case 1: return input.ConsumeIntegralInRange<int64_t>(6, 15);
    default: return input.ConsumeIntegralInRange<int64_t>(1, 5);
  }
}

ArrayView make_x(FuzzedDataProvider& input, int64_t k) {
  ArrayView x;
  constexpr ScalarType kTypes[] = {ScalarType::kF32, ScalarType::kF32, ScalarType::kF16,
                                   ScalarType::kBF16};
  x.type = input.PickValueInArray(kTypes);
  x.ndim = 2;
  x.shape[0] = batch_rows(input);
  x.shape[1] = k;
  const int64_t element = element_size(x.type);
  const int64_t size = x.shape[0] * k * element;
  const int64_t before_end = input.ConsumeBool() ? 0 : input.ConsumeIntegralInRange<int64_t>(0, 3);
  uint8_t* data = arenas().x.take(size, before_end);
  std::vector<float> row(static_cast<size_t>(k));
  for (int64_t j = 0; j < x.shape[0]; ++j) {
    fill_row(input, row);
    store_floats(row.data(), k, data + j * k * element, element, x.type);
  }
  const bool backwards = input.ConsumeBool();
  x.strides[0] = k * element;
  x.strides[1] = backwards ? -element : element;
  x.data = backwards ? data + (k - 1) * element : data;
  return x;
}

// One thread, one row at a time, the last one first.
Parallel one_by_one() {
  const auto run = [](void*, int, int64_t n, int64_t, RangeFn fn, void* context) {
    for (int64_t i = n - 1; i >= 0; --i) fn(context, i, i + 1);
  };
  return {run, nullptr, 1};
}

// x . weights, rows kGap apart, up to the guard page.
std::vector<float> multiply(const Parallel& parallel, const KernelTable& kernels, const Case& c) {
  const int64_t m = c.x.shape[0];
  const int64_t stride = c.weights.n + kGap;
  const int64_t floats = m * stride - kGap;
  int64_t bytes = 0;
  Status status = activations_bytes(c.act, m, c.x.shape[1], &bytes);
  QK_FINDING_UNLESS(status.ok(), "%s", status.message);
  uint8_t* memory = arenas().activations.take(bytes, (64 - bytes % 64) % 64);
  auto* out = reinterpret_cast<float*>(arenas().out.take(floats * 4));
  std::fill_n(out, floats, float_of_bits(kUnwritten));
  ActivationsView activations;
  status = quantize_activations(parallel, kernels, c.x, c.act, reinterpret_cast<std::byte*>(memory),
                                &activations);
  if (status.ok()) {
    status = linear(parallel, kernels, activations,
                    {.weights = &c.weights, .out = out, .out_stride = stride});
  }
  QK_FINDING_UNLESS(status.ok(), "%s", status.message);
  for (int64_t i = 0; i < floats; ++i) {
    const bool is_result = i % stride < c.weights.n;
    QK_FINDING_UNLESS((bits_of_float(out[i]) != kUnwritten) == is_result,
                      "%s: float %lld of a result with n=%lld", kernels.isa,
                      static_cast<long long>(i), static_cast<long long>(c.weights.n));
  }
  return {out, out + floats};
}

std::vector<float> decode(const KernelTable& kernels, const WeightView& weights) {
  const int64_t count = weights.n * weights.k;
  ArrayView out;
  out.data = arenas().out.take(count * 4);
  out.type = ScalarType::kF32;
  out.writable = true;
  out.ndim = 2;
  out.shape[0] = weights.n;
  out.shape[1] = weights.k;
  out.strides[0] = weights.k * 4;
  out.strides[1] = 4;
  auto* floats = static_cast<float*>(out.data);
  std::fill_n(floats, count, float_of_bits(kUnwritten));
  const Status status = dequantize(one_by_one(), kernels, weights, out);
  QK_FINDING_UNLESS(status.ok(), "%s", status.message);
  return {floats, floats + count};
}

bool same_bits(const std::vector<float>& a, const std::vector<float>& b) {
  return a.size() == b.size() && std::memcmp(a.data(), b.data(), a.size() * sizeof(float)) == 0;
}

void check_decoded(const KernelTable& kernels, const WeightView& weights,
                   const std::vector<float>& expected) {
  const std::vector<float> decoded = decode(kernels, weights);
  for (size_t i = 0; i < expected.size(); ++i) {
    const bool same = bits_of_float(decoded[i]) == bits_of_float(expected[i]) ||
                      (std::isnan(decoded[i]) && std::isnan(expected[i]));
    QK_FINDING_UNLESS(same, "%s %s: weight %zu is %.9g, not %.9g", kernels.isa,
                      format_at(weights.format).info.name, i, static_cast<double>(decoded[i]),
                      static_cast<double>(expected[i]));
  }
}

void check_threads(const KernelTable& kernels, const Case& c, const std::vector<float>& alone) {
  const char* name = format_at(c.weights.format).info.name;
  QK_FINDING_UNLESS(same_bits(multiply(one_by_one(), kernels, c), alone),
                    "%s %s %s: rows one by one give other bits", kernels.isa, name,
                    act_name(c.act));
  QK_FINDING_UNLESS(same_bits(multiply(Pool::shared().parallel(3), kernels, c), alone),
                    "%s %s %s: three threads give other bits", kernels.isa, name, act_name(c.act));
}

void check_product(const KernelTable& kernels, const Case& c, const ProductBound& bound,
                   const std::vector<float>& expected) {
  const std::vector<float> y = multiply(Pool::shared().parallel(1), kernels, c);
  check_threads(kernels, c, y);
  const int64_t stride = c.weights.n + kGap;
  for (int64_t j = 0; j < c.x.shape[0]; ++j) {
    for (int64_t i = 0; i < c.weights.n; ++i) {
      const double limit = bound.at(j, i);
      if (std::isnan(limit)) continue;
      const auto a = static_cast<double>(y[static_cast<size_t>(j * stride + i)]);
      const auto b = static_cast<double>(expected[static_cast<size_t>(j * stride + i)]);
      const bool agree = std::isfinite(a) ? std::abs(a - b) <= limit : !std::isfinite(b);
      QK_FINDING_UNLESS(
          agree, "%s %s %s n=%lld k=%lld: y[%lld, %lld] is %.9g, scalar %.9g, %.3g apart at most",
          kernels.isa, format_at(c.weights.format).info.name, act_name(c.act),
          static_cast<long long>(c.weights.n), static_cast<long long>(c.weights.k),
          static_cast<long long>(j), static_cast<long long>(i), a, b, limit);
    }
  }
}

// The same case with its weights in panels, after their values came out of them unchanged.
Case pack_case(const KernelTable& kernels, const Case& c) {
  const int rows = panel_rows(kernels, c.weights.format);
  int64_t row = 0;
  int64_t packed_row = 0;
  int64_t size = 0;
  Status status = row_bytes(c.weights.format, c.weights.k, &row);
  if (status.ok()) status = packed_row_bytes(c.weights.format, c.weights.k, &packed_row);
  if (status.ok()) status = packed_bytes(c.weights.n, packed_row, rows, &size);
  QK_FINDING_UNLESS(status.ok(), "%s", status.message);
  uint8_t* panels = arenas().panels.take(size);
  uint8_t* back = arenas().unpacked.take(c.weights.n * row);
  Case packed = c;
  packed.weights.data = panels;
  packed.weights.row_stride = packed_row;
  packed.weights.layout = Layout::kPanels;
  pack(one_by_one(), c.weights, rows, panels);
  unpack(one_by_one(), packed.weights, rows, back);
  const Format& format = format_at(c.weights.format);
  for (int64_t i = 0; i < c.weights.n; ++i) {
    const uint8_t* native = c.weights.data + i * c.weights.row_stride;
    for (int64_t at = 0; at < row; at += format.info.bytes) {
      float before[kUnit];
      float after[kUnit];
      format.decode(native + at, before);
      format.decode(back + i * row + at, after);
      const auto decoded = sizeof(float) * static_cast<size_t>(format.info.block);
      QK_FINDING_UNLESS(std::memcmp(before, after, decoded) == 0,
                        "%s %s: the block at byte %lld of row %lld changed in panels", kernels.isa,
                        format.info.name, static_cast<long long>(at), static_cast<long long>(i));
    }
  }
  return packed;
}

void check(const Case& c) {
  const KernelTable& scalar = isa_at(0);
  const std::vector<float> decoded = decode(scalar, c.weights);
  const std::vector<float> expected = multiply(Pool::shared().parallel(1), scalar, c);
  check_threads(scalar, c, expected);
  const ProductBound bound(c.weights, decoded, c.x);
  for (int i = 0; i < isa_count(); ++i) {
    const KernelTable& kernels = isa_at(i);
    if (!cpu_runs(kernels)) continue;
    if (i > 0) {
      check_decoded(kernels, c.weights, decoded);
      check_product(kernels, c, bound, expected);
    }
    const Case packed = pack_case(kernels, c);
    check_decoded(kernels, packed.weights, decoded);
    check_product(kernels, packed, bound, expected);
  }
}

}  // namespace
}  // namespace qk::fuzz

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, std::size_t size) {
  FuzzedDataProvider input(data, size);
  qk::fuzz::Case c;
  const auto act = static_cast<qk::Act>(input.ConsumeIntegralInRange<int>(0, qk::kActs - 1));
  c.weights = qk::fuzz::make_weights(input);
  c.x = qk::fuzz::make_x(input, c.weights.k);
  c.act = qk::effective_act(c.weights.format, act);
  qk::fuzz::check(c);
  return 0;
}
