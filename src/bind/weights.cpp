#include "bind/weights.h"

#include <memory>
#include <optional>
#include <pybind11/numpy.h>
#include <pybind11/stl.h>
#include <pybind11/typing.h>
#include <string>

#include "bind/activations.h"
#include "bind/array.h"
#include "bind/bind.h"
#include "bind/errors.h"
#include "bind/gil.h"
#include "bind/mapped.h"
#include "bind/sealed.h"
#include "bind/text.h"
#include "core/aligned.h"
#include "core/array.h"
#include "core/os.h"
#include "dispatch/dispatch.h"
#include "formats/registry.h"
#include "ops/pack.h"
#include "ops/shapes.h"

namespace py = pybind11;

namespace qk::bind {
namespace {

const FormatInfo& info_of(const Weights& weights) { return format_at(weights.view.format).info; }

int64_t row_bytes_of(const Weights& weights) {
  if (weights.view.layout == Layout::kPanels) return weights.view.row_stride;
  int64_t bytes = 0;
  raise_if_failed(row_bytes(weights.view.format, weights.view.k, &bytes));
  return bytes;
}

// Bytes `data` of rows of `depth` weights, or of as many as the rows hold.
Weights make_weights(py::handle data, py::handle fmt, std::optional<int64_t> depth) {
  const int format = format_of(fmt);
  const HeldArray held = hold_for_long(data, "weights");
  Weights weights;
  int64_t k = depth.value_or(0);
  if (!depth && held.view.ndim > 0) {
    raise_if_failed(depth_of_row(format, held.view.shape[held.view.ndim - 1], &k));
  }
  raise_if_failed(view_weights(held.view, format, k, &weights.view));
  raise_if_failed(weight_bytes(weights.view, &weights.bytes));
  weights.owner = held.owner;
  return weights;
}

py::typing::Tuple<py::int_, py::ellipsis> shape_of(const Weights& weights) {
  const auto ndim = static_cast<size_t>(weights.view.ndim);
  int64_t extents[kMaxDims];
  shape_of(weights.view, extents);
  py::tuple shape(ndim);
  for (size_t d = 0; d < ndim; ++d) shape[d] = extents[d];
  return shape;
}

// The panels of a matrix, in memory that the result keeps.
Weights pack_weights(const Weights& weights, int threads, bool huge_pages) {
  const KernelTable& kernels = current_kernels();
  if (weights.kernels != nullptr) throw py::type_error("the weights are packed already");
  raise_if_failed(check_matrix(weights.view));
  Weights packed = weights;
  packed.kernels = &kernels;
  packed.view.layout = Layout::kPanels;
  const WeightView& view = weights.view;
  raise_if_failed(packed_row_bytes(view.format, view.k, &packed.view.row_stride));
  const int rows = panel_rows(kernels, packed.view.format);
  const Parallel parallel = parallel_of(threads);
  int64_t& bytes = packed.bytes;
  raise_if_failed(packed_bytes(packed.view.n, packed.view.row_stride, rows, &bytes));
  const bool is_large = huge_pages && bytes >= kHugePage;
  auto buffer = std::make_unique<AlignedBuffer>(is_large ? kHugePage : kCacheLine);
  raise_if_failed(buffer->reserve(bytes));
  if (is_large) advise_huge_pages(buffer->data(), buffer->capacity());
  auto* panels = reinterpret_cast<uint8_t*>(buffer->data());
  packed.owner = py::capsule(buffer.release(), [](void* p) {
    std::unique_ptr<AlignedBuffer>(static_cast<AlignedBuffer*>(p));
  });
  packed.view.data = panels;
  {
    const ReleasedGil unlocked;
    pack(parallel, weights.view, rows, panels);
  }
  raise_if_cut(weights);
  return packed;
}

py::array_t<uint8_t> unpack_weights(const Weights& weights, int threads) {
  if (weights.kernels == nullptr) throw py::type_error("the weights are not packed");
  const WeightView& view = weights.view;
  const Parallel parallel = parallel_of(threads);
  int64_t bytes = 0;
  raise_if_failed(row_bytes(view.format, view.k, &bytes));
  py::array_t<uint8_t> out({view.n, bytes});
  const int rows = panel_rows(*weights.kernels, view.format);
  uint8_t* blocks = out.mutable_data();
  {
    const ReleasedGil unlocked;
    unpack(parallel, view, rows, blocks);
  }
  return out;
}

int rows_of_panel(const Weights& weights) {
  return weights.kernels == nullptr ? 1 : panel_rows(*weights.kernels, weights.view.format);
}

}  // namespace

void check_isa(const Weights& weights, const KernelTable& kernels) {
  raise_if_cut(weights);  // before anything is written
  if (weights.kernels == nullptr || weights.kernels == &kernels) return;
  throw py::value_error(std::string("the weights were packed for ") + weights.kernels->isa +
                        "; the ISA in use is " + kernels.isa);
}

ArrayView bytes_of(const Weights& weights) {
  ArrayView bytes;
  bytes.data = const_cast<uint8_t*>(weights.view.data);
  bytes.type = ScalarType::kU8;
  bytes.ndim = 1;
  bytes.shape[0] = weights.bytes;
  bytes.strides[0] = 1;
  return bytes;
}

int format_of(py::handle fmt) {
  if (py::isinstance<py::str>(fmt)) {
    const std::string name = name_of(fmt);
    if (const int format = find_format(name.c_str()); format >= 0) return format;
    throw py::value_error("unknown format '" + name + "'; see qkernels.formats()");
  }
  if (py::isinstance<py::int_>(fmt) && !py::isinstance<py::bool_>(fmt)) {
    int overflow = 0;
    const int64_t id = PyLong_AsLongLongAndOverflow(fmt.ptr(), &overflow);
    if (PyErr_Occurred() != nullptr) throw py::error_already_set();
    const int format = overflow == 0 ? find_format_by_gguf_id(id) : -1;
    if (format >= 0) return format;
    const auto number = overflow == 0 ? std::to_string(id) : py::cast<std::string>(py::str(fmt));
    throw py::value_error("GGUF type id " + number +
                          " is not a format of qkernels; see qkernels.formats()");
  }
  throw py::type_error("fmt must be a name or a gguf.GGMLQuantizationType, not " +
                       type_name_of(fmt));
}

namespace {

// -1 as None.
std::optional<int> number_or_none(int number) {
  return number < 0 ? std::nullopt : std::optional<int>(number);
}

void bind_format_info(const py::module_& m) {
  py::class_<Format>(m, "FormatInfo", "What a format says of itself.")
      .def_property_readonly("name", [](const Format& f) { return f.info.name; })
      .def_property_readonly(
          "gguf_id", [](const Format& f) { return number_or_none(f.info.gguf_id); },
          "Its ggml_type; None of a format without one.")
      .def_property_readonly(
          "file_type", [](const Format& f) { return number_or_none(f.info.file_type); },
          "What general.file_type is of a file of it; None where there is no number.")
      .def_property_readonly(
          "block", [](const Format& f) { return f.info.block; }, "Weights a block.")
      .def_property_readonly("block_bytes", [](const Format& f) { return f.info.bytes; })
      .def_property_readonly(
          "panel_bytes", [](const Format& f) { return f.panel_bytes; },
          "What packed weights have of a block.")
      .def_property_readonly("is_float", [](const Format& f) { return f.is_float; })
      .def_property_readonly(
          "group",
          [](const Format& f) { return f.is_float ? std::nullopt : std::optional<int>(f.group); },
          "Weights that share a scale; None of floats.")
      .def_property_readonly(
          "integers",
          [](const Format& f) {
            return f.is_float ? std::nullopt : std::optional<std::string>(f.info.integers);
          },
          "What its integers are without their scales; None of floats.");
  seal<Format>();
}

}  // namespace

void bind_weights(py::module_& m) {
  py::class_<Weights>(m, "Weights", "A view of quantised weights, of shape (..., k).")
      .def(py::init(&make_weights), py::arg("data"), py::arg("fmt"), py::arg("k"))
      .def_property_readonly("shape", &shape_of)
      .def_property_readonly("n", [](const Weights& w) { return w.view.n; })
      .def_property_readonly("k", [](const Weights& w) { return w.view.k; })
      .def_property_readonly("fmt", [](const Weights& w) { return info_of(w).name; })
      .def_property_readonly("row_bytes", &row_bytes_of)
      .def_property_readonly(
          "isa",
          [](const Weights& w) -> std::optional<std::string> {
            if (w.kernels == nullptr) return std::nullopt;
            return w.kernels->isa;
          },
          "The ISA that the weights were packed for; None where they are not packed.")
      .def_property_readonly("panel_rows", &rows_of_panel, "Rows that lie together; 1 natively.")
      .def("pack", &pack_weights, py::arg("threads"), py::arg("huge_pages"),
           "The same weights in this ISA's panels.")
      .def("unpack", &unpack_weights, py::arg("threads"), "The native blocks, (n, row_bytes).");
  seal<Weights>();
  m.def(
      "formats",
      [] {
        py::typing::List<py::str> names;
        for (int i = 0; i < format_count(); ++i) names.append(format_at(i).info.name);
        return names;
      },
      "The names of the formats of this build.");
  bind_format_info(m);
  m.def(
      "format_info", [](py::handle fmt) { return format_at(format_of(fmt)); }, py::arg("fmt"),
      "What a format says of itself.");
}

}  // namespace qk::bind
