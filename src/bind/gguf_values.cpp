#include "bind/gguf_values.h"

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <string_view>

#include "bind/errors.h"
#include "gguf/cursor.h"

namespace py = pybind11;

namespace qk::bind {
namespace {

using gguf::Value;
using gguf::ValueType;

// Text out of a file is UTF-8 by the specification and anything in practice. Bytes that are not
// UTF-8 become lone surrogates, as in Python's file names, so nothing raises and nothing is lost.
py::str to_text(std::string_view bytes) {
  PyObject* text =
      PyUnicode_DecodeUTF8(bytes.data(), static_cast<py::ssize_t>(bytes.size()), "surrogateescape");
  if (text == nullptr) throw py::error_already_set();
  return py::reinterpret_steal<py::str>(text);
}

template <class T>
T load(const uint8_t* at) {
  T value;
  std::memcpy(&value, at, sizeof(value));
  return value;
}

py::object to_number(ValueType type, const uint8_t* at) {
  switch (type) {
    case ValueType::kUint8: return py::int_(load<uint8_t>(at));
    case ValueType::kInt8: return py::int_(load<int8_t>(at));
    case ValueType::kUint16: return py::int_(load<uint16_t>(at));
    case ValueType::kInt16: return py::int_(load<int16_t>(at));
    case ValueType::kUint32: return py::int_(load<uint32_t>(at));
    case ValueType::kInt32: return py::int_(load<int32_t>(at));
    case ValueType::kUint64: return py::int_(load<uint64_t>(at));
    case ValueType::kInt64: return py::int_(load<int64_t>(at));
    case ValueType::kFloat32: return py::float_(static_cast<double>(load<float>(at)));
    case ValueType::kFloat64: return py::float_(load<double>(at));
    default: return py::bool_(*at != 0);
  }
}

}  // namespace

void raise_for(const Status& status, const py::object& path) {
  if (status.ok()) return;
  if (status.code == Code::kValue) {
    PyErr_Format(PyExc_ValueError, "%S: %s", path.ptr(), status.message);
    throw py::error_already_set();
  }
  if (status.code == Code::kOs) {
    errno = status.os_error;
    PyErr_SetFromErrnoWithFilenameObject(PyExc_OSError, path.ptr());
    throw py::error_already_set();
  }
  raise_if_failed(status);
}

int64_t find(const gguf::Names& names, const py::str& name) {
  PyObject* encoded = PyUnicode_AsEncodedString(name.ptr(), "utf-8", "surrogateescape");
  if (encoded == nullptr) {  // a surrogate that no file's bytes turn into
    if (PyErr_ExceptionMatches(PyExc_UnicodeEncodeError) == 0) throw py::error_already_set();
    PyErr_Clear();
    return -1;
  }
  const auto bytes = py::reinterpret_steal<py::bytes>(encoded);
  return names.find(std::string_view(bytes));
}

py::typing::List<py::str> to_list(const gguf::Names& names) {
  py::list list(static_cast<size_t>(names.size()));
  for (int64_t i = 0; i < names.size(); ++i) list[static_cast<size_t>(i)] = to_text(names[i]);
  return list;
}

// NOLINTBEGIN(misc-no-recursion): as deep as kMostNesting says
py::object to_object(const py::object& path, const Value& value, std::string_view key, int64_t most,
                     int64_t depth) {
  if (depth >= gguf::kMostNesting) {
    raise_for(
        Status::value_error("key %s has arrays in arrays past %lld deep, which qkernels reads",
                            gguf::Quoted(key).text(), ll(gguf::kMostNesting)),
        path);
  }
  gguf::Strings strings(value);
  gguf::Arrays arrays(value);
  const auto element = [&](int64_t i) -> py::object {
    if (value.type == ValueType::kArray) {
      Value inner;
      raise_for(arrays.next(key, &inner), path);
      return to_object(path, inner, key, most, depth + 1);
    }
    if (value.type != ValueType::kString) {
      return to_number(value.type, value.data + i * gguf::size_of(value.type));
    }
    std::string_view text;
    if (!strings.next(&text)) throw py::value_error("the file changed since it was opened");
    return to_text(text);
  };
  if (!value.is_array) return element(0);
  const int64_t count = std::min(value.count, most);
  py::list list(static_cast<size_t>(count));
  for (int64_t i = 0; i < count; ++i) list[static_cast<size_t>(i)] = element(i);
  return list;
}
// NOLINTEND(misc-no-recursion)

}  // namespace qk::bind
