// The largest products there are: quants of 8 bits at either end against activations at either end.
// An ISA whose sums of two or four products saturate, or overflow 16 bits, fails here.
#include <cmath>
#include <cstdint>
#include <cstring>
#include <vector>

#include "check.h"
#include "dispatch/dispatch.h"
#include "formats/registry.h"
#include "products.h"

namespace qk {
namespace {

using test::Context;
using test::multiply;
using test::one_by_one;
using test::Product;

constexpr int64_t kDepth = 512;

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

WeightView view_row(int format, const std::vector<uint8_t>& row) {
  WeightView weights;
  weights.data = row.data();
  weights.n = 1;
  weights.k = kDepth;
  weights.row_stride = static_cast<int64_t>(row.size());
  weights.format = format;
  return weights;
}

ArrayView view_vector(std::vector<float>& x) {
  ArrayView view;
  view.data = x.data();
  view.type = ScalarType::kF32;
  view.ndim = 2;
  view.shape[0] = 1;
  view.shape[1] = kDepth;
  view.strides[0] = kDepth * 4;
  view.strides[1] = 4;
  return view;
}

void check_extremes(const KernelTable& kernels, int format, Act act) {
  for (const int quant : {-128, 127}) {
    const std::vector<uint8_t> row = constant_row(format, quant);
    for (const float sign : {-1.0f, 1.0f}) {
      const Context context("%s %s act=%d quant=%d sign=%g", kernels.isa,
                            format_at(format).info.name, static_cast<int>(act), quant,
                            static_cast<double>(sign));
      std::vector<float> x(kDepth, sign);
      const float expected = sign * static_cast<float>(quant) * static_cast<float>(kDepth);
      const Product product =
          multiply(one_by_one(), kernels, view_row(format, row), view_vector(x), act);
      QK_REQUIRE_OK(product.status);
      const float actual = product.at(0, 0);
      const Context values("actual %.9g, expected %.9g", static_cast<double>(actual),
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
