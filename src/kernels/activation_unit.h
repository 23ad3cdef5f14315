// Activations as the kernels read them: units of 256 values, each one contiguous piece of memory.
//
// x is held as  x[i] = row_scale * scale[g] * v[i],  g = i / 32, with v a small integer:
//   int16   v in [-32639, 32639]; 32639 = 127 * 256 + 127, so that v = 256 * high + low with
//           high in [-127, 127] and low in [-128, 127], two planes of int8. An ISA that multiplies
//           16-bit words instead keeps v itself in the same bytes, in an order of its own.
//   int8    v in [-127, 127], one plane
//   float32 x / row_scale itself
// row_scale is a power of two: 1 unless the row's largest |x| is outside [2^-64, 2^64).
#pragma once

#include <cstdint>

#include "core/act.h"
#include "formats/format.h"

namespace qk {

template <int kPlanes>
struct alignas(64) IntegerUnit {
  int8_t planes[kPlanes][kUnit];
  float scale[kGroupsPerUnit];
  float sum[kGroupsPerUnit];   // scale * (sum of v), what the min of 32 weights is multiplied by
  float sum16[kUnit / 16];     // the same for 16 weights
  int32_t sums4[kUnit / 4];    // sums of 4 consecutive v, what a weight's bias is multiplied by
  int32_t sums16[kUnit / 16];  // sums of 16
};

struct alignas(64) FloatUnit {
  float x[kUnit];
  float sum[kGroupsPerUnit];
  float sum16[kUnit / 16];
};

template <Act A>
struct UnitOf;
template <>
struct UnitOf<Act::kInt16> {
  using Type = IntegerUnit<2>;
  static constexpr int kMax = 32639;
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

}  // namespace qk
