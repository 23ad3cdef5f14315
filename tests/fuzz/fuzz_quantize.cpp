// Any floats, with and without an importance matrix, to the blocks of any format: the same bytes by
// every ISA and however rows are split, or the same refusal. What blocks hold decodes to numbers,
// none of them far past the largest weight.
//
// The input chooses format, rows, depth, dtype and what the numbers are like (inputs.h). Weights,
// factors and blocks end at a guard page each.
#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <fuzzer/FuzzedDataProvider.h>
#include <string>
#include <vector>

#include "core/array.h"
#include "core/checked.h"
#include "core/pool.h"
#include "dispatch/dispatch.h"
#include "finding.h"
#include "formats/registry.h"
#include "guarded.h"
#include "inputs.h"
#include "ops/quantize.h"

namespace qk::fuzz {
namespace {

constexpr int64_t kMostRows = 6;
constexpr int64_t kMostDepth = 1100;
constexpr int64_t kMostPadded = 1280;  // a multiple of every block's weights

struct Arenas {
  Guarded weights{kMostRows * kMostDepth * 4 + 8};
  Guarded factors{kMostDepth * 4};
  Guarded importance{kMostPadded * 4};
  Guarded blocks{kMostRows * kMostPadded * 5};
};

Arenas& arenas() {
  static Arenas all;
  return all;
}

struct Case {
  int format = 0;
  ArrayView weights;
  ArrayView imatrix;  // no dimensions where there is none
};

ArrayView make_array(FuzzedDataProvider& input, Guarded& memory, int64_t rows, int64_t k,
                     bool positive) {
  ArrayView array;
  constexpr ScalarType kTypes[] = {ScalarType::kF32, ScalarType::kF32, ScalarType::kF16,
                                   ScalarType::kBF16};
  array.type = positive ? ScalarType::kF32 : input.PickValueInArray(kTypes);
  array.ndim = 2;
  array.shape[0] = rows;
  array.shape[1] = k;
  const int64_t element = element_size(array.type);
  array.strides[0] = k * element;
  array.strides[1] = element;
  uint8_t* data = memory.take(rows * k * element);
  std::vector<float> row(static_cast<size_t>(k));
  for (int64_t i = 0; i < rows; ++i) {
    fill_row(input, row);
    for (float& value : row) {
      if (positive) value = std::fabs(value);
    }
    store_floats(row.data(), k, data + i * array.strides[0], element, array.type);
  }
  array.data = data;
  return array;
}

// The blocks, or what was said instead; rows are taken in the order of `parallel`.
std::string quantised(const Parallel& parallel, const KernelTable& kernels, const Case& c,
                      std::vector<uint8_t>* blocks) {
  QuantizeJob job;
  Status status = plan_quantize(kernels, c.format, c.weights, true, &job);
  QK_FINDING_UNLESS(status.ok(), "%s", status.message);
  if (c.imatrix.ndim > 0) {
    int64_t floats = 0;
    status = importance_floats(job, c.imatrix, &floats);
    QK_FINDING_UNLESS(status.ok(), "%s", status.message);
    auto* importance = reinterpret_cast<float*>(arenas().importance.take(floats * 4));
    status = read_importance(c.imatrix, importance, &job);
    if (!status.ok()) return status.message;
  }
  const int64_t size = job.rows * job.row_bytes;
  uint8_t* to = arenas().blocks.take(size);
  std::memset(to, 0xa5, static_cast<size_t>(size));
  status = quantize(parallel, job, to);
  if (!status.ok()) return status.message;
  blocks->assign(to, to + size);
  return {};
}

// Blocks decode to numbers where their weights are numbers.
void check_decoded(const Case& c, const std::vector<uint8_t>& blocks) {
  const Format& format = format_at(c.format);
  const int64_t k = c.weights.shape[1];
  const int64_t row_blocks = ceil_div(k, format.info.block);
  std::vector<float> row(static_cast<size_t>(k));
  std::vector<float> decoded(static_cast<size_t>(format.info.block));
  for (int64_t i = 0; i < c.weights.shape[0]; ++i) {
    load_floats(row_address(c.weights, i), c.weights.strides[1], c.weights.type, k, row.data());
    for (int64_t b = 0; b < row_blocks; ++b) {
      format.decode(blocks.data() + (i * row_blocks + b) * format.info.bytes, decoded.data());
      const int64_t first = b * format.info.block;
      const int64_t count = std::min<int64_t>(format.info.block, k - first);
      for (int64_t j = 0; j < count; ++j) {
        const float weight = row[static_cast<size_t>(first + j)];
        const float value = decoded[static_cast<size_t>(j)];
        QK_FINDING_UNLESS(!std::isfinite(weight) || std::isfinite(value) || format.is_float,
                          "%s: weight %lld of row %lld is %.9g and becomes %.9g", format.info.name,
                          static_cast<long long>(first + j), static_cast<long long>(i),
                          static_cast<double>(weight), static_cast<double>(value));
      }
    }
  }
}

// One thread, one piece at a time, the last one first.
Parallel one_by_one() {
  const auto run = [](void*, int, int64_t n, int64_t, RangeFn fn, void* context) {
    for (int64_t i = n - 1; i >= 0; --i) fn(context, i, i + 1);
  };
  return {run, nullptr, 1};
}

void check(const Case& c) {
  std::vector<uint8_t> expected;
  const std::string said = quantised(Pool::shared().parallel(1), isa_at(0), c, &expected);
  if (said.empty()) check_decoded(c, expected);
  for (int i = 0; i < isa_count(); ++i) {
    const KernelTable& kernels = isa_at(i);
    if (!cpu_runs(kernels)) continue;
    for (const Parallel& parallel : {one_by_one(), Pool::shared().parallel(3)}) {
      std::vector<uint8_t> blocks;
      const std::string message = quantised(parallel, kernels, c, &blocks);
      QK_FINDING_UNLESS(message == said, "%s says '%s', scalar '%s'", kernels.isa, message.c_str(),
                        said.c_str());
      QK_FINDING_UNLESS(blocks == expected, "%s %s: other bytes than scalar", kernels.isa,
                        format_at(c.format).info.name);
    }
  }
}

}  // namespace
}  // namespace qk::fuzz

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, std::size_t size) {
  FuzzedDataProvider input(data, size);
  qk::fuzz::Case c;
  const qk::KernelTable& scalar = qk::isa_at(0);
  std::vector<int> formats;
  for (int i = 0; i < qk::format_count(); ++i) {
    if (qk::can_quantize(scalar, i)) formats.push_back(i);
  }
  c.format = formats[input.ConsumeIntegralInRange<size_t>(0, formats.size() - 1)];
  const auto rows = input.ConsumeIntegralInRange<int64_t>(1, qk::fuzz::kMostRows);
  const auto k = input.ConsumeIntegralInRange<int64_t>(1, qk::fuzz::kMostDepth);
  const bool weighted = qk::takes_importance(scalar, c.format) && input.ConsumeBool();
  c.weights = qk::fuzz::make_array(input, qk::fuzz::arenas().weights, rows, k, false);
  if (weighted) {
    c.imatrix = qk::fuzz::make_array(input, qk::fuzz::arenas().factors, 1, k, true);
    c.imatrix.ndim = 1;
    c.imatrix.shape[0] = k;
    c.imatrix.strides[0] = c.imatrix.strides[1];
  }
  qk::fuzz::check(c);
  return 0;
}
