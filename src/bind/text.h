// A str that names a format or a kind of activations.
#pragma once

#include <pybind11/pybind11.h>
#include <string>

namespace qk::bind {

// The text in printable ASCII, everything else escaped: null bytes and lone surrogates, which a C
// string cannot hold, make a name that is unknown instead of one cut short.
inline std::string name_of(pybind11::handle text) {
  namespace py = pybind11;
  const auto quoted = py::reinterpret_steal<py::object>(PyObject_ASCII(text.ptr()));
  if (!quoted) throw py::error_already_set();
  const auto name = py::cast<std::string>(quoted);
  return name.substr(1, name.size() - 2);
}

}  // namespace qk::bind
