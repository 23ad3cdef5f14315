#include "bind/dlpack.h"

#include <string>
#include <utility>

#include "core/checked.h"

namespace py = pybind11;

namespace qk::bind {
namespace {

constexpr const char* kPlain = "dltensor";
constexpr const char* kVersioned = "dltensor_versioned";

[[noreturn]] void refuse(const char* what, const std::string& why) {
  throw py::type_error(std::string(what) + why);
}

// An error of the producer's as a TypeError that names the argument; what is not about the
// argument passes.
[[noreturn]] void raise_as_ours(py::error_already_set& error, const char* what,
                                const std::string& method) {
  if (!error.matches(PyExc_Exception) || error.matches(PyExc_MemoryError)) throw error;
  const std::string message = std::string(what) + ": its " + method +
                              " failed: " + py::cast<std::string>(py::str(error.value()));
  py::raise_from(error, PyExc_TypeError, message.c_str());
  throw py::error_already_set();
}

template <class Call>
py::object ask(const char* what, const char* method, Call call) {
  try {
    return call();
  } catch (py::error_already_set& error) {
    raise_as_ours(error, what, method);
  }
}

void require_cpu(int64_t type, const char* what) {
  if (type == dlpack::kCpu) return;
  refuse(what,
         " lies on DLPack device type " + std::to_string(type) + "; only CPU memory is supported");
}

void check_device(py::handle object, const char* what) {
  const py::object device =
      ask(what, "__dlpack_device__", [&] { return object.attr("__dlpack_device__")(); });
  if (py::isinstance<py::tuple>(device) && py::len(device) == 2) {
    const py::object first = py::reinterpret_borrow<py::tuple>(device)[0];
    if (PyLong_Check(first.ptr()) != 0) {
      int overflow = 0;
      const int64_t type = PyLong_AsLongLongAndOverflow(first.ptr(), &overflow);
      require_cpu(overflow == 0 ? type : -1, what);
      return;
    }
  }
  refuse(what, ": its __dlpack_device__ returned no pair of integers");
}

// A producer of before version 1.0 does not know max_version, and raises TypeError.
py::object exported(py::handle object) {
  try {
    return object.attr("__dlpack__")(py::arg("max_version") = py::make_tuple(dlpack::kMajor, 0));
  } catch (py::error_already_set& error) {
    if (!error.matches(PyExc_TypeError)) throw;
  }
  return object.attr("__dlpack__")();
}

// Takes the tensor out of its capsule and into one that frees it with the last reference.
template <class Managed>
py::capsule take(py::handle capsule, const char* name, const char* used) {
  const auto* managed = static_cast<Managed*>(PyCapsule_GetPointer(capsule.ptr(), name));
  if (managed == nullptr || PyCapsule_SetName(capsule.ptr(), used) != 0) {
    throw py::error_already_set();
  }
  return py::capsule(managed, [](void* pointer) {
    auto* tensor = static_cast<Managed*>(pointer);
    if (tensor->deleter != nullptr) tensor->deleter(tensor);
  });
}

ScalarType scalar_type(const dlpack::DataType& dtype) {
  switch (dtype.code) {
    case dlpack::kFloat:
      if (dtype.bits == 32) return ScalarType::kF32;
      if (dtype.bits == 16) return ScalarType::kF16;
      if (dtype.bits == 64) return ScalarType::kF64;
      break;
    case dlpack::kBfloat:
      if (dtype.bits == 16) return ScalarType::kBF16;
      break;
    case dlpack::kUInt:
      if (dtype.bits == 8) return ScalarType::kU8;
      break;
    case dlpack::kInt:
      if (dtype.bits == 8) return ScalarType::kI8;
      if (dtype.bits == 16) return ScalarType::kI16;
      if (dtype.bits == 32) return ScalarType::kI32;
      if (dtype.bits == 64) return ScalarType::kI64;
      break;
    default: break;
  }
  return ScalarType::kOther;
}

// NumPy's code for a kind of number, or 0.
char numpy_kind(uint8_t code) {
  switch (code) {
    case dlpack::kInt: return 'i';
    case dlpack::kUInt: return 'u';
    case dlpack::kFloat: return 'f';
    case dlpack::kBool: return 'b';
    default: return '\0';
  }
}

bool is_whole(int bits) { return bits == 8 || bits == 16 || bits == 32 || bits == 64; }

// Extents, strides in bytes and the first element; false where the elements do not fit into memory.
bool read_layout(const dlpack::Tensor& tensor, int64_t element, ArrayView* view) {
  int64_t packed = element;
  int64_t reach = 0;
  bool is_empty = false;
  for (int d = tensor.ndim - 1; d >= 0; --d) {
    const int64_t extent = tensor.shape[d];
    int64_t stride = packed;
    int64_t part = 0;
    if (extent < 0) return false;
    if (tensor.strides != nullptr && !checked_mul(tensor.strides[d], element, &stride)) {
      return false;
    }
    is_empty = is_empty || extent == 0;
    view->shape[d] = extent;
    view->strides[d] = stride;
    if (extent < 2) continue;
    if (!checked_mul(extent - 1, stride, &part) || part == INT64_MIN ||
        !checked_add(reach, part < 0 ? -part : part, &reach)) {
      return false;
    }
    if (tensor.strides == nullptr && !checked_mul(packed, extent, &packed)) return false;
  }
  view->data = tensor.data;
  if (is_empty) return true;
  const auto first = reinterpret_cast<uintptr_t>(tensor.data);
  if (first == 0 || first > UINTPTR_MAX / 2 || tensor.byte_offset > UINTPTR_MAX / 4) return false;
  view->data = static_cast<uint8_t*>(tensor.data) + tensor.byte_offset;
  return true;
}

DlpackArray view_of(const dlpack::Tensor& tensor, const char* what) {
  require_cpu(tensor.device.type, what);
  if (tensor.ndim > kMaxDims) {
    throw py::value_error(std::string(what) + " has " + std::to_string(tensor.ndim) +
                          " dimensions; at most " + std::to_string(kMaxDims) + " are supported");
  }
  if (tensor.ndim < 0 || (tensor.ndim > 0 && tensor.shape == nullptr)) {
    refuse(what, ": its DLPack tensor has no shape");
  }
  DlpackArray array;
  ArrayView& view = array.held.view;
  const dlpack::DataType& dtype = tensor.dtype;
  if (dtype.lanes == 1 && is_whole(dtype.bits)) {
    view.type = scalar_type(dtype);
    const char kind = numpy_kind(dtype.code);
    if (kind != '\0') array.dtype = kind + std::to_string(dtype.bits / 8);
  }
  if (view.type == ScalarType::kOther && array.dtype.empty()) {
    refuse(what, " has DLPack's dtype of code " + std::to_string(dtype.code) + ", " +
                     std::to_string(dtype.bits) + " bits and " + std::to_string(dtype.lanes) +
                     " lanes, which qkernels does not take");
  }
  view.ndim = tensor.ndim;
  if (!read_layout(tensor, dtype.bits / 8, &view)) {
    refuse(what, " has no memory for the elements that its DLPack tensor describes");
  }
  return array;
}

}  // namespace

DlpackArray hold_dlpack(py::handle object, const char* what) {
  check_device(object, what);
  const py::object capsule = ask(what, "__dlpack__", [&] { return exported(object); });
  if (PyCapsule_IsValid(capsule.ptr(), kVersioned) != 0) {
    py::capsule owner =
        take<dlpack::VersionedTensor>(capsule, kVersioned, "used_dltensor_versioned");
    const auto* managed = owner.get_pointer<dlpack::VersionedTensor>();
    if (managed->version.major != dlpack::kMajor) {
      refuse(what, " comes in version " + std::to_string(managed->version.major) +
                       " of DLPack; known is " + std::to_string(dlpack::kMajor));
    }
    DlpackArray array = view_of(managed->tensor, what);
    array.held.view.writable = (managed->flags & dlpack::kReadOnly) == 0;
    array.held.owner = std::move(owner);
    return array;
  }
  if (PyCapsule_IsValid(capsule.ptr(), kPlain) == 0) {
    refuse(what, ": its __dlpack__ returned no 'dltensor' capsule");
  }
  py::capsule owner = take<dlpack::ManagedTensor>(capsule, kPlain, "used_dltensor");
  DlpackArray array = view_of(owner.get_pointer<dlpack::ManagedTensor>()->tensor, what);
  array.held.owner = std::move(owner);
  return array;
}

}  // namespace qk::bind
