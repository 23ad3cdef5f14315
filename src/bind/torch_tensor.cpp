#include "bind/torch_tensor.h"

#include <atomic>
#include <memory>
#include <pybind11/typing.h>
#include <string>
#include <utility>
#include <vector>

#include "bind/bind.h"
#include "bind/text.h"
#include "core/array.h"
#include "core/checked.h"

namespace py = pybind11;

namespace qk::bind {
namespace {

// What qkernels.torch hands over when it is imported. Kept until the process ends: a destructor
// would run after the interpreter's.
struct Torch {
  py::object tensor;
  py::object parameter;
  py::object forward_ad;
  py::object is_grad_enabled;
  py::object from_numpy;
  py::object count_write;
  std::vector<std::pair<py::object, ScalarType>> dtypes;
};

std::atomic<const Torch*> known = nullptr;

ScalarType type_of_name(const std::string& name) {
  for (int i = 0; i < static_cast<int>(ScalarType::kOther); ++i) {
    const auto type = static_cast<ScalarType>(i);
    if (name == type_name(type)) return type;
  }
  throw py::value_error("unknown dtype '" + name + "'");
}

void know_torch(py::object tensor, py::object parameter,
                const py::typing::Dict<py::object, py::str>& dtypes, py::object forward_ad,
                py::object is_grad_enabled, py::object from_numpy, py::object count_write) {
  auto torch = std::make_unique<Torch>();
  torch->tensor = std::move(tensor);
  torch->parameter = std::move(parameter);
  torch->forward_ad = std::move(forward_ad);
  torch->is_grad_enabled = std::move(is_grad_enabled);
  torch->from_numpy = std::move(from_numpy);
  torch->count_write = std::move(count_write);
  for (const auto& [dtype, name] : dtypes) {
    torch->dtypes.emplace_back(py::reinterpret_borrow<py::object>(dtype),
                               type_of_name(py::cast<std::string>(name)));
  }
  known = torch.release();
}

// The attributes and methods that are asked, as str objects that are made once.
struct Names {
  static PyObject* make(const char* name) { return PyUnicode_InternFromString(name); }

  PyObject* dtype = make("dtype");
  PyObject* is_cpu = make("is_cpu");
  PyObject* requires_grad = make("requires_grad");
  PyObject* current_level = make("_current_level");
  PyObject* shape = make("shape");
  PyObject* is_neg = make("is_neg");
  PyObject* is_inference = make("is_inference");
  PyObject* data_ptr = make("data_ptr");
  PyObject* stride = make("stride");
  PyObject* storage_offset = make("storage_offset");
  PyObject* untyped_storage = make("untyped_storage");
  PyObject* nbytes = make("nbytes");
};

const Names& names() {
  static const Names kMade;
  return kMade;
}

py::object checked(PyObject* result) {
  if (result == nullptr) throw py::error_already_set();
  return py::reinterpret_steal<py::object>(result);
}

py::object get(py::handle object, PyObject* name) {
  return checked(PyObject_GetAttr(object.ptr(), name));
}

py::object call(py::handle object, PyObject* method) {
  return checked(PyObject_CallMethodNoArgs(object.ptr(), method));
}

int64_t integer(const py::object& value) {
  const int64_t number = PyLong_AsLongLong(value.ptr());
  if (number == -1 && PyErr_Occurred() != nullptr) throw py::error_already_set();
  return number;
}

ScalarType dtype_of(const Torch& torch, py::handle tensor) {
  const py::object dtype = get(tensor, names().dtype);
  for (const auto& [one, type] : torch.dtypes) {
    if (dtype.is(one)) return type;
  }
  return ScalarType::kOther;
}

bool is_true(const py::object& value) { return value.is(py::bool_(true)); }

// Whether autograd neither expects anything of a use of the tensor nor forbids it.
bool is_beside_autograd(const Torch& torch, py::handle tensor, TensorUse use) {
  if (use == TensorUse::kResolved) return true;
  if (is_true(get(tensor, names().requires_grad)) && is_true(torch.is_grad_enabled())) return false;
  if (integer(get(torch.forward_ad, names().current_level)) >= 0) return false;
  return use == TensorUse::kRead || !is_true(call(tensor, names().is_inference));
}

// Extents and strides in bytes; false where an element lies past the end of the storage.
bool read_layout(py::handle tensor, const py::tuple& shape, int64_t storage_bytes,
                 ArrayView* view) {
  const py::tuple strides = call(tensor, names().stride);
  const int64_t element = element_size(view->type);
  int64_t end = integer(call(tensor, names().storage_offset));
  bool is_empty = false;
  if (!checked_mul(end, element, &end) || !checked_add(end, element, &end)) return false;
  for (int d = 0; d < view->ndim; ++d) {
    const auto at = static_cast<size_t>(d);
    int64_t reach = 0;
    view->shape[d] = integer(shape[at]);
    if (!checked_mul(integer(strides[at]), element, &view->strides[d])) return false;
    if (view->shape[d] == 0) is_empty = true;
    if (view->shape[d] < 2) continue;
    if (!checked_mul(view->shape[d] - 1, view->strides[d], &reach) ||
        !checked_add(end, reach, &end)) {
      return false;
    }
  }
  return is_empty || (view->data != nullptr && end <= storage_bytes);
}

std::optional<HeldArray> try_view(const Torch& torch, py::handle tensor, TensorUse use) {
  HeldArray held;
  ArrayView& view = held.view;
  view.type = dtype_of(torch, tensor);
  if (view.type == ScalarType::kOther || !is_true(get(tensor, names().is_cpu)) ||
      !is_beside_autograd(torch, tensor, use) || is_true(call(tensor, names().is_neg))) {
    return std::nullopt;
  }
  const py::tuple shape = get(tensor, names().shape);
  if (shape.size() > kMaxDims) return std::nullopt;
  view.ndim = static_cast<int>(shape.size());
  view.writable = true;
  const py::object address = call(tensor, names().data_ptr);
  view.data = PyLong_AsVoidPtr(address.ptr());
  // The tensor may be given other memory at any time; this is what keeps the memory itself.
  held.owner = call(tensor, names().untyped_storage);
  const int64_t bytes = integer(call(held.owner, names().nbytes));
  if (!read_layout(tensor, shape, bytes, &view)) return std::nullopt;
  held.is_torch = true;
  return held;
}

// What is known of torch, if a program has imported it.
const Torch* torch_or_null() {
  if (const Torch* torch = known.load(); torch != nullptr) return torch;
  PyObject* modules = PyImport_GetModuleDict();
  if (modules == nullptr || PyDict_GetItemString(modules, "torch") == nullptr) return nullptr;
  py::module_::import("qkernels._base.frameworks").attr("know_torch")();
  return known.load();
}

}  // namespace

bool is_tensor(py::handle object) {
  const Torch* torch = torch_or_null();
  return torch != nullptr && py::isinstance(object, torch->tensor);
}

std::optional<HeldArray> view_tensor(py::handle tensor, TensorUse use) {
  const Torch& torch = *known.load();
  const py::handle type = py::type::handle_of(tensor);
  if (!type.is(torch.tensor) && !type.is(torch.parameter)) return std::nullopt;
  try {
    return try_view(torch, tensor, use);
  } catch (py::error_already_set& error) {
    // What has no strides, no storage or no shape says so by an exception of its own.
    if (!error.matches(PyExc_Exception) || error.matches(PyExc_MemoryError)) throw;
    return std::nullopt;
  }
}

py::object as_tensor(const py::object& array) {
  const Torch& torch = *known.load();
  py::object tensor = torch.from_numpy(array);
  if (py::type::handle_of(tensor).is(torch.tensor)) return tensor;
  throw py::type_error("torch makes a " + type_name_of(tensor) +
                       " of the result here, which would lose its values");
}

void count_write(py::handle tensor) { known.load()->count_write(tensor); }

void bind_torch(py::module_& m) {
  m.def("as_tensor", &as_tensor, py::arg("array"), "A torch tensor over an array's memory.");
  m.def("know_torch", &know_torch, py::arg("tensor"), py::arg("parameter"), py::arg("dtypes"),
        py::arg("forward_ad"), py::arg("is_grad_enabled"), py::arg("from_numpy"),
        py::arg("count_write"), "Hands over what the core needs to read and make torch tensors.");
}

}  // namespace qk::bind
