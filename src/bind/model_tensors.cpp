#include "bind/model_tensors.h"

#include <atomic>
#include <cstdint>
#include <pybind11/stl.h>  // IWYU pragma: keep (std::vector as results)
#include <pybind11/typing.h>
#include <utility>
#include <vector>

#include "bind/array.h"
#include "bind/bind.h"
#include "bind/errors.h"
#include "bind/mapped.h"
#include "bind/sealed.h"
#include "bind/weights.h"
#include "llama/architecture.h"

namespace py = pybind11;

namespace qk::bind {

ModelTensors::ModelTensors(py::dict tensors, const KernelTable& kernels)
    : tensors_(std::move(tensors)), kernels_(kernels) {}

llama::Weights ModelTensors::weights(const llama::Config& config) const {
  const auto count = static_cast<int64_t>(tensors_.size());
  if (config.layers > count) {
    throw py::value_error(std::to_string(config.layers) + " layers cannot be made of " +
                          std::to_string(count) + " tensors");
  }
  llama::Weights weights;
  weights.layers.resize(static_cast<size_t>(config.layers));
  const auto fill = [&](const llama::Tensor& tensor, int64_t layer, auto& place) -> Status {
    find(tensor.name_in(layer), &place);
    return {};
  };
  raise_if_failed(llama::for_each_tensor(*config.architecture, weights, fill));
  return weights;
}

void ModelTensors::find(const std::string& name, WeightView* place) const {
  if (!tensors_.contains(name)) return;
  const py::object tensor = tensors_[name.c_str()];
  if (!py::isinstance<Weights>(tensor)) throw py::type_error(name + " is not a matrix");
  const auto& weights = py::cast<const Weights&>(tensor);
  check_isa(weights, kernels_);
  *place = weights.view;
}

void ModelTensors::find(const std::string& name, std::span<const float>* place) const {
  if (!tensors_.contains(name)) return;
  const HeldArray held = hold_array(tensors_[name.c_str()], name.c_str());
  const ArrayView& view = held.view;
  if (view.type != ScalarType::kF32 || view.ndim != 1 || view.strides[0] != sizeof(float) ||
      reinterpret_cast<uintptr_t>(view.data) % alignof(float) != 0) {
    throw py::type_error(name + " is not a contiguous vector of float32");
  }
  *place = {static_cast<const float*>(view.data), static_cast<size_t>(view.shape[0])};
}

void ModelTensors::raise_if_cut() const {
  if (!some_range_was_cut.load(std::memory_order_relaxed)) return;
  for (const auto& [name, tensor] : tensors_) {
    if (py::isinstance<Weights>(tensor)) {
      check_pages(py::cast<const Weights&>(tensor));
    } else {
      check_pages(hold_array(tensor, "tensor").view);
    }
  }
}

namespace {

// A row of the table, for Python.
struct ModelTensor {
  explicit ModelTensor(const llama::Tensor& tensor)
      : role(tensor.role),
        name(tensor.of_layers() ? "blk.{layer}." : ""),
        of_layers(tensor.of_layers()),
        optional(tensor.optional) {
    name += tensor.name;
    for (int d = 0; d < tensor.ndim(); ++d) shape.emplace_back(size_name(tensor.shape[d]));
    for (const llama::Architecture* architecture : llama::architectures()) {
      if (tensor.is_of(*architecture)) architectures.emplace_back(architecture->name);
    }
  }

  std::string role;
  std::string name;
  std::vector<std::string> shape;
  std::vector<std::string> architectures;
  bool of_layers;
  bool optional;
};

std::vector<ModelTensor> model_tensors() {
  return {llama::tensors().begin(), llama::tensors().end()};
}

py::typing::Dict<py::str, py::str> architectures() {
  py::typing::Dict<py::str, py::str> kinds;
  for (const llama::Architecture* architecture : llama::architectures()) {
    kinds[architecture->name] = rope_kind_name(architecture->rope);
  }
  return kinds;
}

}  // namespace

void bind_model_tensors(py::module_& m) {
  py::class_<ModelTensor>(m, "ModelTensor", "A tensor of a model, or one of each of its layers.")
      .def_readonly("role", &ModelTensor::role,
                    "What it is for: an architecture has one tensor of a role.")
      .def_readonly("name", &ModelTensor::name,
                    "Its name in a file, where {layer} stands for the number of a layer.")
      .def_readonly("shape", &ModelTensor::shape,
                    "Names of the sizes that it extends over: n and k of a matrix, n of a vector.")
      .def_readonly("architectures", &ModelTensor::architectures, "Those that have it.")
      .def_readonly("of_layers", &ModelTensor::of_layers, "Whether each layer has one.")
      .def_readonly("optional", &ModelTensor::optional, "Whether a model may lack it.");
  seal<ModelTensor>();
  m.def("model_tensors", &model_tensors,
        "The tensors of all architectures, in the order of their use.");
  m.def("architectures", &architectures,
        "The architectures of models that run, each with its kind of RoPE.");
}

}  // namespace qk::bind
