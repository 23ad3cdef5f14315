// Quantised weights as a Python object: a view and what keeps its memory alive.
#pragma once

#include <pybind11/pybind11.h>

#include "core/views.h"
#include "kernels/table.h"

namespace qk::bind {

struct Weights {
  WeightView view;
  int ndim = 2;  // 2: (n, k); 3: (experts, n, k)
  pybind11::object owner;
  const KernelTable* kernels = nullptr;  // packed: whose panels these are
};

// ValueError unless packed weights are of the ISA in use.
void check_isa(const Weights& weights);

// The format of a name (in any case) or of a GGUF id; ValueError for an unknown one.
int format_of(pybind11::handle fmt);

}  // namespace qk::bind
