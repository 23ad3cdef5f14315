// How far two kernels' results for one product may lie apart.
//
// Float sums in another order differ in proportion to the sum of |terms|. The terms are what a
// kernel's lanes add up: the weights times x, or, in formats with mins, scale * quant and min times
// x, which may cancel. Biased quants add nothing: their correction is exact within a lane.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "core/views.h"

namespace qk::fuzz {

class ProductBound {
 public:
  // `decoded` is the weights in float32, (n, k).
  ProductBound(const WeightView& weights, const std::vector<float>& decoded, const ArrayView& x);

  // For output [j, i]; NaN where partial sums may overflow, in one order and not in another.
  double at(int64_t j, int64_t i) const { return limits_[static_cast<std::size_t>(j * n_ + i)]; }

 private:
  int64_t n_;
  std::vector<double> limits_;
};

}  // namespace qk::fuzz
