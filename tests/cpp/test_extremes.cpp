// The largest products there are: quants of 8 bits at either end against activations at either end.
// An ISA whose sums of two or four products saturate, or overflow 16 bits, fails here.
#include <cmath>
#include <cstdint>
#include <cstring>
#include <vector>

#include "check.h"
#include "core/aligned.h"
#include "dispatch/dispatch.h"
#include "formats/registry.h"
#include "ops/activations.h"
#include "ops/linear.h"

namespace qk {
namespace {

constexpr int64_t kDepth = 512;

Parallel alone() {
  const auto run = [](void*, int, int64_t n, int64_t, RangeFn fn, void* context) {
    if (n > 0) fn(context, 0, n);
  };
  return {run, nullptr, 1};
}

// A row of q8_0 (a scale a 32) or q8_ks (a scale of 4 bits a 8, all 1), all quants the same.
std::vector<uint8_t> constant_row(int format, int quant) {
  const FormatInfo& info = format_at(format).info;
  const bool superblocks = info.block == 256;
  std::vector<uint8_t> row(static_cast<size_t>(kDepth / info.block * info.bytes));
  constexpr uint16_t kOne = 0x3c00;  // binary16
  for (uint8_t* block = row.data(); block != row.data() + row.size(); block += info.bytes) {
    if (superblocks) std::memset(block + 256, 0x11, 16);
    std::memcpy(block + (superblocks ? 288 : 0), &kOne, sizeof(kOne));
    std::memset(block + (superblocks ? 0 : 2), quant, static_cast<size_t>(info.block));
  }
  return row;
}

Status multiply(const KernelTable& kernels, int format, const std::vector<uint8_t>& row,
                std::vector<float>& x, Act act, float* out) {
  WeightView weights;
  weights.data = row.data();
  weights.n = 1;
  weights.k = kDepth;
  weights.row_stride = static_cast<int64_t>(row.size());
  weights.format = format;
  ArrayView view;
  view.data = x.data();
  view.type = ScalarType::kF32;
  view.ndim = 2;
  view.shape[0] = 1;
  view.shape[1] = kDepth;
  view.strides[0] = kDepth * 4;
  view.strides[1] = 4;
  int64_t bytes = 0;
  AlignedBuffer memory;
  ActivationsView activations;
  Status status = activations_bytes(act, 1, kDepth, &bytes);
  if (status.ok()) status = memory.reserve(bytes);
  if (status.ok()) {
    status = quantize_activations(alone(), kernels, view, act, memory.data(), &activations);
  }
  return status.ok() ? linear(alone(), weights, activations, nullptr, out, 1) : status;
}

void check_extremes(const KernelTable& kernels, int format, Act act) {
  for (const int quant : {-128, 127}) {
    const std::vector<uint8_t> row = constant_row(format, quant);
    for (const float sign : {-1.0f, 1.0f}) {
      const test::Context context("%s %s act=%d quant=%d sign=%g", kernels.isa,
                                  format_at(format).info.name, static_cast<int>(act), quant,
                                  static_cast<double>(sign));
      std::vector<float> x(kDepth, sign);
      const float expected = sign * static_cast<float>(quant) * static_cast<float>(kDepth);
      float actual = 0.0f;
      QK_REQUIRE_OK(multiply(kernels, format, row, x, act, &actual));
      const test::Context values("actual %.9g, expected %.9g", static_cast<double>(actual),
                                 static_cast<double>(expected));
      QK_CHECK(std::fabs(actual / expected - 1.0f) < 1e-6f);
    }
  }
}

QK_TEST(the_largest_products_neither_saturate_nor_overflow) {
  for (int isa = 0; isa < isa_count(); ++isa) {
    if (!cpu_runs(isa_at(isa))) continue;
    for (const char* name : {"q8_0", "q8_ks"}) {
      const int format = find_format(name);
      QK_REQUIRE(format >= 0);
      for (int act = 0; act < kActs; ++act) {
        check_extremes(isa_at(isa), format, static_cast<Act>(act));
      }
    }
  }
}

}  // namespace
}  // namespace qk
