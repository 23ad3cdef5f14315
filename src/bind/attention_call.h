// A call of attention: its queries, its results, and the scratch that they need.
#pragma once

#include <initializer_list>
#include <optional>
#include <pybind11/pybind11.h>

#include "bind/array.h"
#include "bind/operands.h"
#include "ops/heads.h"

namespace qk::bind {

// Where keys and values lie in memory for `positions` of them; ValueError where that passes 2^63.
struct CacheBytes {
  CacheBytes(const CacheView& cache, int64_t positions);
  void place(std::byte* memory, CacheView* cache) const;

  int64_t keys = 0;  // in whole cache lines
  int64_t total = 0;
};

// Queries that were checked, and what becomes of them.
class AttentionCall {
 public:
  // `scale` is 1 / sqrt(head_dim) unless it is given.
  AttentionCall(pybind11::handle q, std::optional<double> scale);

  const HeadShape& shape() const { return shape_; }
  float scale() const { return scale_; }
  const HeldArray& queries() const { return q_; }
  pybind11::object result() const { return output_.result(); }

  // Results of `width` values a query, in `out` or a new array, which may not overlap the inputs
  // k and v.
  void prepare(pybind11::handle out, int64_t width, std::initializer_list<const HeldArray*> inputs);

  // Without the GIL: queries as floats, and rows for the results.
  HeadRows begin();

  // Without the GIL: the rows into `out`, where they do not lie there.
  void finish() const;

 private:
  HeldArray q_;
  HeadShape shape_;
  HeadShape result_shape_;
  float scale_ = 0.0f;
  Output output_;
  FloatArrays floats_;
  int64_t q_at_ = 0;
  int64_t out_at_ = 0;
};

}  // namespace qk::bind
