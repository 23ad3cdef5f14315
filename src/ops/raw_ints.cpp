#include "ops/raw_ints.h"

#include <cstring>

#include "core/array.h"
#include "core/checked.h"
#include "formats/registry.h"

namespace qk {
namespace {

// A thread is worth waking for so many weights.
constexpr int64_t kGrainWeights = 32768;

int64_t smaller(int64_t a, int64_t b) { return a < b ? a : b; }

// Whether weights are blocks that have integers.
Status check_integers(const WeightView& weights) {
  int64_t group = 0;
  QK_TRY(integer_group(weights.format, &group));
  if (weights.layout != Layout::kNative) {
    return Status::type_error("raw integers are of blocks, and these weights are packed");
  }
  return {};
}

}  // namespace

Status integer_group(int format, int64_t* group) {
  const Format& described = format_at(format);
  if (described.is_float) {
    return Status::type_error("%s weights are floats: they have no integers and no scales",
                              described.info.name);
  }
  *group = described.group;
  return {};
}

Status raw_ints(const Parallel& parallel, const WeightView& weights, int8_t* out) {
  QK_TRY(check_integers(weights));
  const Format& format = format_at(weights.format);
  const int64_t k = weights.k;
  auto body = [&](int64_t begin, int64_t end) {
    for (int64_t row = begin; row < end; ++row) {
      const uint8_t* block = row_address(weights, row);
      for (int64_t at = 0; at < k; at += format.info.block, block += format.info.bytes) {
        int8_t integers[kUnit];
        format.integers(block, integers);
        std::memcpy(out + row * k + at, integers,
                    static_cast<size_t>(smaller(k - at, format.info.block)));
      }
    }
  };
  parallel(weights.experts * weights.n, ceil_div(kGrainWeights, k), body);
  return {};
}

Status raw_scales(const Parallel& parallel, const WeightView& weights, float* scales, float* mins) {
  QK_TRY(check_integers(weights));
  const Format& format = format_at(weights.format);
  const int64_t groups = ceil_div(weights.k, format.group);
  const int64_t in_block = format.info.block / format.group;
  auto body = [&](int64_t begin, int64_t end) {
    for (int64_t row = begin; row < end; ++row) {
      const uint8_t* block = row_address(weights, row);
      for (int64_t at = 0; at < groups; at += in_block, block += format.info.bytes) {
        float block_scales[kUnit];
        float block_mins[kUnit];
        format.scales(block, block_scales, block_mins);
        const auto bytes = static_cast<size_t>(smaller(groups - at, in_block)) * sizeof(float);
        std::memcpy(scales + row * groups + at, block_scales, bytes);
        std::memcpy(mins + row * groups + at, block_mins, bytes);
      }
    }
  };
  parallel(weights.experts * weights.n, ceil_div(kGrainWeights, weights.k), body);
  return {};
}

}  // namespace qk
