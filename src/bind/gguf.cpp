#include <limits>
#include <memory>
#include <optional>
#include <pybind11/numpy.h>
#include <pybind11/stl.h>  // IWYU pragma: keep (std::optional and std::vector as results)
#include <pybind11/typing.h>
#include <span>
#include <string>
#include <vector>

#include "bind/bind.h"
#include "bind/gguf_values.h"
#include "bind/gil.h"
#include "bind/sealed.h"
#include "gguf/reader.h"
#include "gguf/types.h"

namespace py = pybind11;

namespace qk::bind {
namespace {

using gguf::Reader;
using gguf::Tensor;
using gguf::TensorType;
using gguf::Value;
using gguf::ValueType;

struct GgufFile {
  Reader reader;
  py::object path;  // as it was given, for messages
};

// An entry of the tensor table, for Python.
struct GgufTensor {
  std::vector<int64_t> shape;  // NumPy's order, with the true k
  uint32_t type_id;
  std::optional<std::string> type_name;  // absent for an unknown id
  std::optional<std::string> fmt;        // absent for a type that is no weight format here
  std::optional<int64_t> nbytes;         // absent where the type's size is unknown
  int64_t offset;                        // from the start of the file
  std::vector<int64_t> stored;           // the same as the file has it, rows in whole blocks
  std::optional<std::string> fault;      // why the entry cannot be handed out, whatever its type
  std::optional<std::string> unread;     // why a type without contents here has none
};

// Names and values lie in the map as well: nothing reads them without this.
void check_size(const GgufFile& file) { raise_for(file.reader.check_size(), file.path); }

void check_index(int64_t index, const gguf::Names& names) {
  if (index >= 0 && index < names.size()) return;
  throw py::index_error("index " + std::to_string(index) + " of " + std::to_string(names.size()));
}

const Tensor& tensor_at(const GgufFile& file, int64_t index) {
  check_index(index, file.reader.tensor_names());
  return file.reader.tensor(index);
}

GgufTensor describe(const GgufFile& file, int64_t index) {
  const Tensor& tensor = tensor_at(file, index);
  const TensorType type = gguf::tensor_type(tensor.type);
  GgufTensor described;
  const gguf::Extents ne = file.reader.extents(index);
  described.shape.assign(ne.rbegin(), ne.rend());
  described.stored = described.shape;
  if (!ne.empty() && tensor.is_sound) described.shape.back() = tensor.k;
  described.type_id = tensor.type;
  if (type.name != nullptr) described.type_name = type.name;
  if (type.format >= 0) described.fmt = type.name;
  if (tensor.nbytes >= 0) described.nbytes = tensor.nbytes;
  described.offset = file.reader.begin_of(index);
  if (const Status fault = file.reader.fault_of(index); !fault.ok()) {
    described.fault = fault.message;
  }
  if (!type.is_readable()) {
    described.unread = gguf::unreadable(file.reader.tensor_names()[index], tensor.type).message;
  }
  return described;
}

// A read-only array over the file's bytes, which it keeps alive.
py::array view_bytes(const GgufFile& file, int64_t index, const py::dtype& dtype,
                     const std::vector<py::ssize_t>& shape) {
  const uint8_t* data = nullptr;
  raise_for(file.reader.bytes_of(index, &data), file.path);
  const py::object owner = py::cast(&file, py::return_value_policy::reference);
  py::array array(dtype, shape, {}, data, owner);
  array.attr("flags").attr("writeable") = false;
  return array;
}

// The blocks of a tensor's rows: uint8, the tensor's shape with the bytes of a row for k.
py::array rows(const GgufFile& file, int64_t index) {
  const Tensor& tensor = tensor_at(file, index);
  const TensorType type = gguf::tensor_type(tensor.type);
  const gguf::Extents ne = file.reader.extents(index);
  std::vector<py::ssize_t> shape(ne.rbegin(), ne.rend());
  const int64_t depth = shape.empty() ? 1 : shape.back();
  if (shape.empty()) shape.push_back(1);
  shape.back() = type.block > 0 ? depth / type.block * type.bytes : 0;
  return view_bytes(file, index, py::dtype::of<uint8_t>(), shape);
}

// A read-only array of bytes of the file, which it keeps alive.
py::array view_raw(const GgufFile& file, const uint8_t* data, int64_t size) {
  const py::object owner = py::cast(&file, py::return_value_policy::reference);
  py::array array(py::dtype::of<uint8_t>(), {static_cast<py::ssize_t>(size)}, {}, data, owner);
  array.attr("flags").attr("writeable") = false;
  return array;
}

// The bytes of a tensor of any type.
py::array raw_tensor(const GgufFile& file, int64_t index) {
  check_index(index, file.reader.tensor_names());
  std::span<const uint8_t> bytes;
  raise_for(file.reader.raw_bytes_of(index, &bytes), file.path);
  return view_raw(file, bytes.data(), static_cast<int64_t>(bytes.size()));
}

const char* dtype_of(ScalarType type) {
  switch (type) {
    case ScalarType::kF32: return "<f4";
    case ScalarType::kF16: return "<f2";
    case ScalarType::kBF16: return "<u2";
    case ScalarType::kF64: return "<f8";
    case ScalarType::kI8: return "i1";
    case ScalarType::kI16: return "<i2";
    case ScalarType::kI32: return "<i4";
    case ScalarType::kI64: return "<i8";
    default: return "u1";
  }
}

// A tensor of a scalar type with its own shape and dtype; bf16, which NumPy lacks, as uint16.
py::array elements(const GgufFile& file, int64_t index) {
  const Tensor& tensor = tensor_at(file, index);
  const TensorType type = gguf::tensor_type(tensor.type);
  if (type.format >= 0 && type.scalar == ScalarType::kOther) {
    throw py::value_error(std::string("weights in ") + type.name + " are not an array of scalars");
  }
  const gguf::Extents ne = file.reader.extents(index);
  const std::vector<py::ssize_t> shape(ne.rbegin(), ne.rend());
  return view_bytes(file, index, py::dtype(std::string(dtype_of(type.scalar))), shape);
}

std::unique_ptr<GgufFile> open(const py::object& path, bool mmap) {
  PyObject* encoded = nullptr;  // ValueError for a null byte, TypeError for what is no path
  if (PyUnicode_FSConverter(path.ptr(), static_cast<void*>(&encoded)) == 0)
    throw py::error_already_set();
  const auto name = py::reinterpret_steal<py::bytes>(encoded);
  auto file = std::make_unique<GgufFile>();
  file->path = path;
  Status status;
  {
    const std::string system_path(name);
    const ReleasedGil unlocked;
    status = Reader::open(system_path.c_str(), mmap ? gguf::Access::kMap : gguf::Access::kCopy,
                          &file->reader);
  }
  raise_for(status, path);
  return file;
}

const Value& value_at(const GgufFile& file, int64_t index) {
  check_index(index, file.reader.keys());
  check_size(file);
  return file.reader.value(index);
}

py::typing::Tuple<py::str, std::optional<int64_t>, int64_t> value_type(const GgufFile& file,
                                                                       int64_t key) {
  const Value& value = value_at(file, key);
  const std::optional<int64_t> length = value.is_array ? std::optional(value.count) : std::nullopt;
  const bool is_text = value.type == ValueType::kString && !value.is_array;
  const int64_t size = is_text ? value.size - static_cast<int64_t>(sizeof(uint64_t)) : value.size;
  return py::make_tuple(gguf::name_of(value.type), length, size);
}

py::object value(const GgufFile& file, int64_t key, std::optional<int64_t> most) {
  const Value& found = value_at(file, key);
  return to_object(file.path, found, file.reader.keys()[key],
                   most.value_or(std::numeric_limits<int64_t>::max()));
}

py::array raw_value(const GgufFile& file, int64_t key) {
  const Value& found = value_at(file, key);
  return view_raw(file, found.raw(), found.raw_size());
}

// What `read` returns of names and values that were there before and after.
template <class Read>
auto checked(const GgufFile& file, Read read) {
  check_size(file);
  auto result = read();  // NOLINT(misc-const-correctness): what is returned is moved
  check_size(file);
  return result;
}

py::typing::List<py::str> keys(const GgufFile& file) {
  return checked(file, [&] { return to_list(file.reader.keys()); });
}

py::typing::List<py::str> tensor_names(const GgufFile& file) {
  return checked(file, [&] { return to_list(file.reader.tensor_names()); });
}

int64_t find_key(const GgufFile& file, const py::str& key) {
  return checked(file, [&] { return find(file.reader.keys(), key); });
}

int64_t find_tensor(const GgufFile& file, const py::str& name) {
  return checked(file, [&] { return find(file.reader.tensor_names(), name); });
}

void bind_tensor(const py::module_& m) {
  py::class_<GgufTensor>(m, "GGUFTensor", "An entry of a GGUF file's tensor table.")
      .def_property_readonly("shape",
                             [](const GgufTensor& t) -> py::typing::Tuple<py::int_, py::ellipsis> {
                               return py::tuple(py::cast(t.shape));
                             })
      .def_readonly("type_id", &GgufTensor::type_id)
      .def_readonly("type_name", &GgufTensor::type_name)
      .def_readonly("fmt", &GgufTensor::fmt)
      .def_readonly("nbytes", &GgufTensor::nbytes)
      .def_readonly("offset", &GgufTensor::offset)
      .def_property_readonly("stored",
                             [](const GgufTensor& t) -> py::typing::Tuple<py::int_, py::ellipsis> {
                               return py::tuple(py::cast(t.stored));
                             })
      .def_readonly("fault", &GgufTensor::fault)
      .def_readonly("unread", &GgufTensor::unread);
  seal<GgufTensor>();
}

}  // namespace

// NOLINTNEXTLINE(misc-const-correctness): every part of the module has this signature
void bind_gguf(py::module_& m) {
  bind_tensor(m);
  py::class_<GgufFile>(m, "GGUF", "An open GGUF file: keys and tensors by index.")
      .def(py::init(&open), py::arg("path"), py::arg("mmap"))
      .def_property_readonly("version", [](const GgufFile& f) { return f.reader.version(); })
      .def_property_readonly("alignment", [](const GgufFile& f) { return f.reader.alignment(); })
      .def_property_readonly("data_begin", [](const GgufFile& f) { return f.reader.data_begin(); })
      .def_property_readonly("nbytes", [](const GgufFile& f) { return f.reader.size(); })
      .def_property_readonly("key_count", [](const GgufFile& f) { return f.reader.keys().size(); })
      .def_property_readonly("tensor_count",
                             [](const GgufFile& f) { return f.reader.tensor_names().size(); })
      .def("keys", &keys)
      .def("tensor_names", &tensor_names)
      .def("find_key", &find_key, py::arg("key"), "The index of a key, or -1.")
      .def("find_tensor", &find_tensor, py::arg("name"), "The index of a tensor, or -1.")
      .def(
          "value",
          [](const GgufFile& f, int64_t key, std::optional<int64_t> most) {
            return checked(f, [&] { return value(f, key, most); });
          },
          py::arg("key"), py::arg("most") = py::none(),
          "A metadata value: str, int, float, bool, or a list of one of them or of lists; at most "
          "so many elements of an array.")
      .def(
          "raw_value",
          [](const GgufFile& f, int64_t key) {
            return checked(f, [&] { return raw_value(f, key); });
          },
          py::arg("key"), "A metadata value as the file has it, from the id of its type on.")
      .def("value_type", &value_type, py::arg("key"),
           "The name of a value's type, the length of an array or None, and the bytes it takes.")
      .def("tensor", &describe, py::arg("index"))
      .def("rows", &rows, py::arg("index"),
           "The blocks of a tensor's rows, uint8 (..., row_bytes).")
      .def("raw_tensor", &raw_tensor, py::arg("index"),
           "The bytes of a tensor of any type; of an unknown one, up to the next tensor.")
      .def("elements", &elements, py::arg("index"),
           "A tensor of a scalar type in its own shape and dtype; bf16 as uint16.");
  seal<GgufFile>();
}

}  // namespace qk::bind
