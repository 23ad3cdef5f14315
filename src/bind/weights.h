// Quantised weights as a Python object: a view and what keeps its memory alive.
#pragma once

#include <pybind11/pybind11.h>

#include "core/views.h"
#include "kernels/table.h"

namespace qk::bind {

struct Weights {
  WeightView view;
  int64_t bytes = 0;  // from the first to the last
  pybind11::object owner;
  const KernelTable* kernels = nullptr;  // packed: whose panels these are
};

// ValueError unless packed weights are of the ISA whose kernels a call took at its start.
void check_isa(const Weights& weights, const KernelTable& kernels);

// The memory that weights take, as an array of bytes.
ArrayView bytes_of(const Weights& weights);

// The format of a name (in any case) or of a GGUF id; ValueError for an unknown one.
int format_of(pybind11::handle fmt);

}  // namespace qk::bind
