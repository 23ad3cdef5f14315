// A failed Status as the Python exception that its code stands for.
#pragma once

#include <cerrno>
#include <pybind11/pybind11.h>

#include "core/status.h"

namespace qk::bind {

inline void raise_if_failed(const Status& status) {
  namespace py = pybind11;
  switch (status.code) {
    case Code::kOk: return;
    case Code::kType: throw py::type_error(status.message);
    case Code::kValue: throw py::value_error(status.message);
    case Code::kIndex: throw py::index_error(status.message);
    case Code::kMemory: PyErr_SetString(PyExc_MemoryError, status.message); break;
    case Code::kOs: {
      // OSError(errno, message) picks FileNotFoundError, PermissionError and so on.
      const py::object error =
          py::reinterpret_borrow<py::object>(PyExc_OSError)(status.os_error, status.message);
      PyErr_SetObject(reinterpret_cast<PyObject*>(Py_TYPE(error.ptr())), error.ptr());
      break;
    }
  }
  throw py::error_already_set();
}

}  // namespace qk::bind
