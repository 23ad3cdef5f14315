// The tensors that Python hands to a model, by the names of the table in llama/architecture.h.
#pragma once

#include <pybind11/pybind11.h>
#include <span>
#include <string>

#include "kernels/table.h"
#include "llama/config.h"
#include "llama/weights.h"

namespace qk::bind {

// Tensors by name, kept alive for as long as this is.
class ModelTensors {
 public:
  ModelTensors(pybind11::dict tensors, const KernelTable& kernels);

  // The kernels in use when the model was made.
  const KernelTable& kernels() const { return kernels_; }

  // Whatever there is of the architecture's tensors: Model::make says what is missing or misshapen.
  // TypeError where one is no matrix, or no vector of float32; ValueError for more layers than
  // tensors.
  llama::Weights weights(const llama::Config& config) const;

  // After a pass: ValueError where tensors were cut off the file that they are mapped from.
  void raise_if_cut() const;

 private:
  // Puts the tensor of a name, if there is one, where it belongs.
  void find(const std::string& name, WeightView* place) const;
  void find(const std::string& name, std::span<const float>* place) const;

  pybind11::dict tensors_;
  const KernelTable& kernels_;
};

}  // namespace qk::bind
