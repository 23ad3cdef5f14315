#include "ops/raw_ints.h"

#include <cstring>

#include "core/checked.h"
#include "formats/registry.h"

namespace qk {
namespace {

// A thread is worth waking for so many weights.
constexpr int64_t kGrainWeights = 32768;

int64_t smaller(int64_t a, int64_t b) { return a < b ? a : b; }

// What a walk over native weights needs: their number of rows, and where each one lies.
struct Rows {
  const WeightView& weights;
  int64_t count = 0;

  const uint8_t* operator[](int64_t row) const {
    return weights.data + row / weights.n * weights.expert_stride +
           row % weights.n * weights.row_stride;
  }
};

Status rows_of(const WeightView& weights, Rows* rows) {
  int64_t group = 0;
  QK_TRY(integer_group(weights.format, &group));
  if (weights.layout != Layout::kNative) {
    return Status::type_error("raw integers are of blocks, and these weights are packed");
  }
  if (!checked_mul(weights.experts, weights.n, &rows->count)) {
    return Status::value_error("weights of %lld experts of n=%lld rows pass 2^63 rows",
                               static_cast<long long>(weights.experts),
                               static_cast<long long>(weights.n));
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
  Rows rows{weights};
  QK_TRY(rows_of(weights, &rows));
  const Format& format = format_at(weights.format);
  const int64_t k = weights.k;
  auto body = [&](int64_t begin, int64_t end) {
    for (int64_t row = begin; row < end; ++row) {
      const uint8_t* block = rows[row];
      for (int64_t at = 0; at < k; at += format.info.block, block += format.info.bytes) {
        int8_t integers[kUnit];
        format.integers(block, integers);
        std::memcpy(out + row * k + at, integers,
                    static_cast<size_t>(smaller(k - at, format.info.block)));
      }
    }
  };
  parallel(rows.count, ceil_div(kGrainWeights, k), body);
  return {};
}

Status raw_scales(const Parallel& parallel, const WeightView& weights, float* scales, float* mins) {
  Rows rows{weights};
  QK_TRY(rows_of(weights, &rows));
  const Format& format = format_at(weights.format);
  const int64_t groups = ceil_div(weights.k, format.group);
  const int64_t in_block = format.info.block / format.group;
  auto body = [&](int64_t begin, int64_t end) {
    for (int64_t row = begin; row < end; ++row) {
      const uint8_t* block = rows[row];
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
  parallel(rows.count, ceil_div(kGrainWeights, weights.k), body);
  return {};
}

}  // namespace qk
