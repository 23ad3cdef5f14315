// Computing without the GIL, in a floating-point environment that the caller's does not reach.
#pragma once

#include <pybind11/pybind11.h>

#include "core/fp_environment.h"

namespace qk::bind {

// Takes the GIL back, or waits for ever where the interpreter has ended meanwhile: a daemon thread
// in a product when the main thread is done. From Python 3.14 on, Python itself waits so. Before,
// it ends the thread, which on glibc unwinds the stack through every destructor, without the GIL.
void take_gil(PyThreadState* state) noexcept;

// The scope of a binding's work: the GIL is released, and the floating-point environment the
// library's own.
class ReleasedGil {
 public:
  ReleasedGil() : state_(PyEval_SaveThread()) {}
  ~ReleasedGil() { take_gil(state_); }
  ReleasedGil(const ReleasedGil&) = delete;
  ReleasedGil& operator=(const ReleasedGil&) = delete;

 private:
  PyThreadState* state_;
  FpEnvironment environment_;
};

}  // namespace qk::bind
