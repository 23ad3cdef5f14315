// Arrays of other libraries as views, without a copy: NumPy's own, torch's tensors, and whatever
// speaks DLPack. Every operator takes its arguments through one of the three functions `hold_*`.
#pragma once

#include <pybind11/numpy.h>
#include <pybind11/pybind11.h>

#include "core/views.h"

namespace qk::bind {

// A view and the object that keeps its memory alive.
struct HeldArray {
  ArrayView view;
  pybind11::object owner;
  bool is_torch = false;  // it was handed in as a torch tensor
};

// `what` names the argument in messages. All three raise TypeError for anything that is no array,
// for a masked array, an array on another device, and a tensor without memory of its own or from
// which a gradient is expected; ValueError for over 8 dimensions.

// Memory as it lies, of any dtype that has a ScalarType; in another byte order it is a TypeError.
HeldArray hold_array(pybind11::handle object, const char* what);

// The same for bytes that are kept after the call: torch is told not to resize their storage.
HeldArray hold_for_long(pybind11::handle object, const char* what);

// An input of real numbers: float32, float16 and bfloat16 as they lie, everything else that NumPy
// takes for numbers converted to float32.
HeldArray hold_floats(pybind11::handle object, const char* what);

// What results are written to. TypeError also for a tensor that autograd protects from writing.
HeldArray hold_out(pybind11::handle object);

// A new, uninitialised C-ordered float32 array.
pybind11::array new_float_array(const int64_t* shape, int ndim);

// A vector that was checked, as float32.
void load_vector(const HeldArray& vector, float* out);

// ValueError when `out` may share memory with `input`.
void refuse_overlap(const HeldArray& out, const ArrayView& input, const char* what);

// The same, for an input that is read before anything is written: it may be `out` itself.
void refuse_other_overlap(const HeldArray& out, const ArrayView& input, const char* what);

}  // namespace qk::bind
