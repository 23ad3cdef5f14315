#include "bind/array.h"

#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "bind/dlpack.h"
#include "bind/torch_tensor.h"
#include "core/array.h"
#include "core/fp_environment.h"

namespace py = pybind11;

namespace qk::bind {
namespace {

[[noreturn]] void refuse_type(const std::string& message) { throw py::type_error(message); }

ScalarType numpy_type(const py::dtype& dtype) {
  const auto size = dtype.itemsize();
  switch (dtype.kind()) {
    case 'f':
      if (size == 4) return ScalarType::kF32;
      if (size == 2) return ScalarType::kF16;
      if (size == 8) return ScalarType::kF64;
      break;
    case 'u':
      if (size == 1) return ScalarType::kU8;
      break;
    case 'i':
      if (size == 1) return ScalarType::kI8;
      if (size == 2) return ScalarType::kI16;
      if (size == 4) return ScalarType::kI32;
      if (size == 8) return ScalarType::kI64;
      break;
    case 'V':  // NumPy has no bfloat16 of its own; extension types carry it by this name
      if (size == 2 && py::cast<std::string>(dtype.attr("name")) == "bfloat16") {
        return ScalarType::kBF16;
      }
      break;
    default: break;
  }
  return ScalarType::kOther;
}

// Which memory is asked for, and what module _arrays has for arrays that are not viewed as they
// come.
struct Role {
  bool floats = false;
  TensorUse use = TensorUse::kRead;
  const char* resolve = "";
};

constexpr Role kMemory{.resolve = "memory"};
constexpr Role kFloats{.floats = true, .resolve = "floats"};
constexpr Role kOut{.use = TensorUse::kWrite, .resolve = "target"};

void check_dims(int64_t ndim, const char* what) {
  if (ndim <= kMaxDims) return;
  throw py::value_error(std::string(what) + " has " + std::to_string(ndim) +
                        " dimensions; at most " + std::to_string(kMaxDims) + " are supported");
}

[[noreturn]] void refuse_dtype(const char* what, const std::string& dtype) {
  refuse_type(std::string(what) + " has dtype " + dtype + ", which qkernels does not take");
}

HeldArray hold_numpy(const py::array& array, const char* what, const Role& role) {
  const bool exact = Py_TYPE(array.ptr()) == py::detail::npy_api::get().PyArray_Type_;
  if (!exact && py::hasattr(array, "mask")) {
    refuse_type(std::string(what) + " is a masked array; fill it first, as in " + what +
                ".filled(0)");
  }
  check_dims(array.ndim(), what);
  HeldArray held;
  held.owner = array;
  held.view.type = numpy_type(array.dtype());
  const char order = array.dtype().byteorder();
  if (order != '=' && order != '|') held.view.type = ScalarType::kOther;
  if (held.view.type == ScalarType::kOther) {
    if (role.floats) return held;
    refuse_dtype(what, py::cast<std::string>(py::str(array.dtype().attr("str"))));
  }
  held.view.data = const_cast<void*>(array.data());
  held.view.writable = array.writeable();
  held.view.ndim = static_cast<int>(array.ndim());
  for (int d = 0; d < held.view.ndim; ++d) {
    held.view.shape[d] = array.shape(d);
    held.view.strides[d] = array.strides(d);
  }
  return held;
}

bool suits(const ArrayView& view, const Role& role) { return !role.floats || is_float(view.type); }

// A NumPy array over the same memory.
py::array as_numpy(const DlpackArray& array) {
  const ArrayView& view = array.held.view;
  return py::array(py::dtype(array.dtype),
                   std::vector<py::ssize_t>(view.shape, view.shape + view.ndim),
                   std::vector<py::ssize_t>(view.strides, view.strides + view.ndim), view.data,
                   array.held.owner);
}

// The memory of an array that needs no conversion. Nothing where it does, or where it is refused:
// `object` becomes a NumPy array of the same where that is what has to be converted.
std::optional<HeldArray> view_array(py::object& object, const char* what, const Role& role) {
  if (py::isinstance<py::array>(object)) {
    HeldArray held = hold_numpy(py::reinterpret_borrow<py::array>(object), what, role);
    if (!suits(held.view, role)) return std::nullopt;
    return held;
  }
  if (is_tensor(object)) {
    std::optional<HeldArray> held = view_tensor(object, role.use);
    if (held && !suits(held->view, role)) return std::nullopt;
    return held;
  }
  if (!py::hasattr(object, "__dlpack__")) return std::nullopt;
  DlpackArray array = hold_dlpack(object, what);
  if (suits(array.held.view, role)) {
    if (array.held.view.type == ScalarType::kOther) refuse_dtype(what, array.dtype);
    return std::move(array.held);
  }
  object = as_numpy(array);
  return std::nullopt;
}

HeldArray hold(py::handle handed, const char* what, const Role& role) {
  auto object = py::reinterpret_borrow<py::object>(handed);
  if (std::optional<HeldArray> held = view_array(object, what, role)) return *std::move(held);
  const bool was_torch = is_tensor(object);
  const FpEnvironment environment;  // what is converted does not depend on the caller's, either
  object = py::module_::import("qkernels._base.arrays").attr(role.resolve)(object, what);
  const Role resolved{.floats = role.floats, .use = TensorUse::kResolved};
  std::optional<HeldArray> held = view_array(object, what, resolved);
  if (!held) refuse_type(std::string(what) + " has no memory that can be viewed");
  held->is_torch = was_torch;
  return *std::move(held);
}

}  // namespace

HeldArray hold_array(py::handle object, const char* what) { return hold(object, what, kMemory); }

HeldArray hold_for_long(py::handle object, const char* what) {
  HeldArray held = hold_array(object, what);
  if (held.is_torch && held.view.type == ScalarType::kU8) {
    const py::object fixed =
        py::module_::import("qkernels._base.arrays").attr("fixed")(object, what);
    held.owner = py::make_tuple(held.owner, fixed);
  }
  return held;
}

HeldArray hold_floats(py::handle object, const char* what) { return hold(object, what, kFloats); }

HeldArray hold_out(py::handle object) { return hold(object, "out", kOut); }

py::array new_float_array(const int64_t* shape, int ndim) {
  return py::array(py::dtype::of<float>(), std::vector<py::ssize_t>(shape, shape + ndim));
}

void load_vector(const HeldArray& vector, float* out) {
  const ArrayView& view = vector.view;
  load_floats(static_cast<const uint8_t*>(view.data), view.strides[0], view.type, view.shape[0],
              out);
}

void refuse_overlap(const HeldArray& out, const ArrayView& input, const char* what) {
  if (!may_overlap(out.view, input)) return;
  throw py::value_error(std::string("out shares memory with ") + what);
}

void refuse_other_overlap(const HeldArray& out, const ArrayView& input, const char* what) {
  if (!same_elements(out.view, input)) refuse_overlap(out, input, what);
}

}  // namespace qk::bind
