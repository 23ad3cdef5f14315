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

// The pool with `threads` threads, or the process-wide default of them. ValueError outside 1..256.
Parallel parallel_of(int threads);

// The act of a Python string; TypeError for anything else, ValueError for an unknown name.
Act act_of(pybind11::handle act);

}  // namespace qk::bind
