// Activations as a Python object, and the scratch memory that products without one use.
#pragma once

#include <pybind11/pybind11.h>
#include <vector>

#include "core/aligned.h"
#include "ops/activations.h"

namespace qk::bind {

struct Activations {
  AlignedBuffer memory;
  ActivationsView view;
  std::vector<int64_t> shape;  // of x: (..., k)
  bool is_torch = false;       // what products with it return
};

inline constexpr int kDefaultThreads = -1;

// Whose threads a call runs on, and how many: `threads`, or by default what somebody chose for this
// library; else the processors there are, or, of calls with tensors, as many as torch uses. Those run
// on torch's own threads where it lends them. ValueError outside 1..256.
Parallel parallel_of(int threads, bool is_torch = false);

// The act of a Python string; TypeError for anything else, ValueError for an unknown name.
Act act_of(pybind11::handle act);

}  // namespace qk::bind
