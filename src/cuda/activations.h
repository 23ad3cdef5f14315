// Activations as the device's kernels read them.
//
// x is held as on the CPU (kernels/activation_unit.h): row_scale * scale[g] * v[i], g = i / 32,
// with v of 16 bits in two planes of int8 (v = 256 * high + low), of 8 bits, or x itself. Batch
// rows are those of x; there is room for 1, 4 or 8 of them, and those without a row of
// x are zeros. In memory:
//
//   128 bytes   row_scale of each batch row, NaN where x holds what is not finite
//   then        for each 256 of k, a unit of each batch row
//
// A unit's place is then a constant away from the place of the first batch row's, and a kernel
// follows one pointer.
#pragma once

#include <cstdint>

#include "core/act.h"

namespace qk::cuda {

inline constexpr int kMostBatchRows = 8;
inline constexpr int kBatchClasses = 3;
inline constexpr int64_t kRowScaleBytes = 128;

// The class that m batch rows go to, and how many there is room for in it. Two of them cost a
// kernel for four less than the memory's time.
constexpr int batch_class(int64_t m) {
  if (m > 4) return 2;
  return m > 1 ? 1 : 0;
}
constexpr int batch_rows_of_class(int which) {
  constexpr int kBatchRows[kBatchClasses] = {1, 4, 8};
  return kBatchRows[which];
}

// Sums are float32: a group's may pass what binary16 holds, 65504.
template <int kPlanes>
struct alignas(128) IntegerUnit {
  int8_t planes[kPlanes][256];
  float scale[8];
  float sum[8];       // scale * (sum of v) of 32
  float sum16[2][8];  // the same of the first, and of the second, 16 of each 32
};

struct alignas(128) FloatUnit {
  float x[256];
  float sum[8];
  float sum16[2][8];
};

template <Act A>
struct UnitOf;
template <>
struct UnitOf<Act::kInt16> {
  using Type = IntegerUnit<2>;
  static constexpr int kMax = 32639;  // 127 * 256 + 127, so that both planes are int8
};
template <>
struct UnitOf<Act::kInt8> {
  using Type = IntegerUnit<1>;
  static constexpr int kMax = 127;
};
template <>
struct UnitOf<Act::kFloat32> {
  using Type = FloatUnit;
};
template <Act A>
using Unit = typename UnitOf<A>::Type;

}  // namespace qk::cuda
