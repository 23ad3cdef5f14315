// Arguments that are a str: names of formats, of kinds of activations and the like.
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

// The name of an object's type, for messages.
inline std::string type_name_of(pybind11::handle object) {
  namespace py = pybind11;
  return py::cast<std::string>(py::type::handle_of(object).attr("__name__"));
}

// What `argument` names, as name_of(); TypeError where it is no str.
inline std::string str_argument(pybind11::handle argument, const char* what) {
  namespace py = pybind11;
  if (py::isinstance<py::str>(argument)) return name_of(argument);
  throw py::type_error(std::string(what) + " must be a str, not " + type_name_of(argument));
}

}  // namespace qk::bind
