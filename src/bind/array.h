// Arrays of other libraries as views: NumPy's own, and whatever speaks DLPack (torch), without a
// copy.
#pragma once

#include <pybind11/numpy.h>
#include <pybind11/pybind11.h>

#include "core/views.h"

namespace qk::bind {

// A view and the object that keeps its memory alive.
struct HeldArray {
  ArrayView view;
  pybind11::object owner;
};

// `what` names the argument in messages. TypeError for anything that is not an array, a masked
// array, an array in another byte order or on another device; ValueError for over 8 dimensions.
HeldArray hold_array(pybind11::handle object, const char* what);

// A new, uninitialised C-ordered float32 array.
pybind11::array new_float_array(const int64_t* shape, int ndim);

// A vector that was checked, as float32.
void load_vector(const HeldArray& vector, float* out);

// ValueError when `out` may share memory with `input`.
void refuse_overlap(const HeldArray& out, const ArrayView& input, const char* what);

// The same, for an input that is read before anything is written: it may be `out` itself.
void refuse_other_overlap(const HeldArray& out, const ArrayView& input, const char* what);

}  // namespace qk::bind
