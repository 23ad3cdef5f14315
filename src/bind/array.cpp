#include "bind/array.h"

#include <string>

#include "bind/dlpack.h"
#include "core/array.h"

namespace py = pybind11;

namespace qk::bind {
namespace {

[[noreturn]] void refuse_type(const std::string& message) { throw py::type_error(message); }

std::string type_of(py::handle object) {
  return py::cast<std::string>(py::type::handle_of(object).attr("__name__"));
}

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

ScalarType dlpack_type(const dlpack::DataType& dtype) {
  if (dtype.lanes != 1) return ScalarType::kOther;
  if (dtype.code == dlpack::kFloat && dtype.bits == 32) return ScalarType::kF32;
  if (dtype.code == dlpack::kFloat && dtype.bits == 16) return ScalarType::kF16;
  if (dtype.code == dlpack::kFloat && dtype.bits == 64) return ScalarType::kF64;
  if (dtype.code == dlpack::kBfloat && dtype.bits == 16) return ScalarType::kBF16;
  if (dtype.code == dlpack::kUInt && dtype.bits == 8) return ScalarType::kU8;
  if (dtype.code == dlpack::kInt && dtype.bits == 8) return ScalarType::kI8;
  if (dtype.code == dlpack::kInt && dtype.bits == 16) return ScalarType::kI16;
  if (dtype.code == dlpack::kInt && dtype.bits == 32) return ScalarType::kI32;
  if (dtype.code == dlpack::kInt && dtype.bits == 64) return ScalarType::kI64;
  return ScalarType::kOther;
}

void check_dims(int64_t ndim, const char* what) {
  if (ndim <= kMaxDims) return;
  throw py::value_error(std::string(what) + " has " + std::to_string(ndim) +
                        " dimensions; at most " + std::to_string(kMaxDims) + " are supported");
}

HeldArray hold_numpy(const py::array& array, const char* what) {
  const bool exact = Py_TYPE(array.ptr()) == py::detail::npy_api::get().PyArray_Type_;
  if (!exact && py::hasattr(array, "mask")) {
    refuse_type(std::string(what) + " is a masked array; fill it first, as in x.filled(0)");
  }
  check_dims(array.ndim(), what);
  HeldArray held;
  held.owner = array;
  held.view.type = numpy_type(array.dtype());
  const char order = array.dtype().byteorder();
  if (held.view.type == ScalarType::kOther || (order != '=' && order != '|')) {
    refuse_type(std::string(what) + " has dtype " +
                py::cast<std::string>(py::str(array.dtype().attr("str"))) +
                ", which qkernels does not take");
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

// Takes the tensor out of a "dltensor" capsule and into one that frees it with the last reference.
py::capsule consume(py::capsule capsule, const char* what) {
  constexpr const char* kName = "dltensor";
  const auto* managed =
      static_cast<dlpack::ManagedTensor*>(PyCapsule_GetPointer(capsule.ptr(), kName));
  if (managed == nullptr) {
    PyErr_Clear();
    refuse_type(std::string(what) + ": __dlpack__ returned no 'dltensor' capsule");
  }
  PyCapsule_SetName(capsule.ptr(), "used_dltensor");
  return py::capsule(managed, [](void* pointer) {
    auto* tensor = static_cast<dlpack::ManagedTensor*>(pointer);
    if (tensor->deleter != nullptr) tensor->deleter(tensor);
  });
}

HeldArray hold_dlpack(py::handle object, const char* what) {
  const py::tuple device = object.attr("__dlpack_device__")();
  if (const int type = py::cast<int>(device[0]); type != dlpack::kCpu) {
    refuse_type(std::string(what) + " lies on DLPack device type " + std::to_string(type) +
                "; only CPU memory is supported");
  }
  HeldArray held;
  const py::capsule capsule = consume(object.attr("__dlpack__")(), what);
  const dlpack::Tensor& tensor = capsule.get_pointer<dlpack::ManagedTensor>()->tensor;
  held.owner = capsule;
  check_dims(tensor.ndim, what);
  held.view.type = dlpack_type(tensor.dtype);
  if (held.view.type == ScalarType::kOther) {
    refuse_type(std::string(what) + " has dtype " +
                py::cast<std::string>(py::str(object.attr("dtype"))) +
                ", which qkernels does not take");
  }
  held.view.data = static_cast<uint8_t*>(tensor.data) + tensor.byte_offset;
  held.view.writable = true;
  held.view.ndim = tensor.ndim;
  int64_t stride = element_size(held.view.type);
  for (int d = tensor.ndim - 1; d >= 0; --d) {
    held.view.shape[d] = tensor.shape[d];
    held.view.strides[d] =
        tensor.strides != nullptr ? tensor.strides[d] * element_size(held.view.type) : stride;
    stride *= tensor.shape[d];
  }
  return held;
}

}  // namespace

HeldArray hold_array(py::handle object, const char* what) {
  if (py::isinstance<py::array>(object)) {
    return hold_numpy(py::reinterpret_borrow<py::array>(object), what);
  }
  if (py::hasattr(object, "__dlpack__")) return hold_dlpack(object, what);
  refuse_type(std::string(what) + " must be a NumPy array or a torch tensor, not " +
              type_of(object));
}

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
