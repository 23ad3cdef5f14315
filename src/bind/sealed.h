// Classes whose every object was constructed. pybind11 hands out memory that nobody initialised
// where an object comes from __new__ without __init__: here __new__ does the constructing.
#pragma once

#include <pybind11/pybind11.h>
#include <string>

namespace qk::bind {

// tp_new of a class T: constructs by T's __init__, which pybind11 ignores when the interpreter
// calls it once more on what is constructed already, or refuses where T has none.
template <class T>
PyObject* new_sealed(PyTypeObject* type, PyObject* args, PyObject* kwargs) {
  namespace py = pybind11;
  try {
    const py::type sealed = py::type::of<T>();
    const py::object members = sealed.attr("__dict__");
    if (!members.contains("__init__")) {
      throw py::type_error("a " + py::cast<std::string>(sealed.attr("__name__")) +
                           " is not made by its type: there is nothing in it to work with");
    }
    auto self = py::reinterpret_steal<py::object>(py::detail::make_new_instance(type));
    const auto arguments = py::reinterpret_borrow<py::tuple>(args);
    const auto named = kwargs == nullptr ? py::dict() : py::reinterpret_borrow<py::dict>(kwargs);
    members["__init__"](self, *arguments, **named);
    return self.release().ptr();
  } catch (py::error_already_set& error) {
    error.restore();
  } catch (const py::builtin_exception& error) {
    error.set_error();
  }
  return nullptr;
}

// Called when T has all of its constructors. T.__new__ is then a TypeError for anyone but the
// interpreter's own call of the type.
template <class T>
void seal(const pybind11::class_<T>& type) {
  auto* object = reinterpret_cast<PyTypeObject*>(type.ptr());
  object->tp_new = &new_sealed<T>;
  PyType_Modified(object);
}

}  // namespace qk::bind
