// Classes whose every object was constructed. pybind11 hands out memory that nobody initialised
// where an object comes from __new__ without __init__: here __new__ does the constructing.
#pragma once

#include <pybind11/pybind11.h>
#include <string>

namespace qk::bind {

// tp_new of a class T: constructs by T's __init__, which raises where T has no constructor, and
// which pybind11 ignores when the interpreter calls it once more on what is constructed already.
template <class T>
PyObject* new_sealed(PyTypeObject* type, PyObject* args, PyObject* kwargs) {
  namespace py = pybind11;
  try {
    const py::type sealed = py::type::of<T>();
    auto self = py::reinterpret_steal<py::object>(py::detail::make_new_instance(type));
    const auto arguments = py::reinterpret_borrow<py::tuple>(args);
    const auto named = kwargs == nullptr ? py::dict() : py::reinterpret_borrow<py::dict>(kwargs);
    sealed.attr("__init__")(self, *arguments, **named);
    return self.release().ptr();
  } catch (py::error_already_set& error) {
    error.restore();
  } catch (const py::builtin_exception& error) {
    error.set_error();
  }
  return nullptr;
}

// To be called when T has all of its methods. T.__new__ is then a TypeError for anyone but the
// interpreter's own call of the type, and so is pickling where T does not say otherwise: the old
// protocols would make an object of pybind11's base, which ends the process.
template <class T>
void seal() {
  namespace py = pybind11;
  const py::type type = py::type::of<T>();
  auto* object = reinterpret_cast<PyTypeObject*>(type.ptr());
  object->tp_new = &new_sealed<T>;
  PyType_Modified(object);
  if (type.attr("__dict__").contains("__reduce__")) return;
  const auto refuse = [](const py::object& self) -> py::object {
    throw py::type_error("cannot pickle '" +
                         py::cast<std::string>(py::type::of(self).attr("__name__")) + "' object");
  };
  type.attr("__reduce__") = py::cpp_function(refuse, py::name("__reduce__"), py::is_method(type));
}

}  // namespace qk::bind
