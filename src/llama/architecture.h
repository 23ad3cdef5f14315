// The architectures that run here, and the one table of their tensors: by role, name, place, shape
// and presence. What loads a model, what checks one, Python's configuration and its reference all
// read this table.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <variant>

#include "core/status.h"
#include "core/views.h"
#include "llama/config.h"
#include "llama/weights.h"
#include "ops/rope.h"

namespace qk::llama {

// Where architectures differ beside their tensors.
struct Architecture {
  const char* name;  // `general.architecture` of a file
  RopeKind rope;
};

std::span<const Architecture* const> architectures();

// ValueError for an unknown name.
Status find_architecture(const char* name, const Architecture** out);

// What a dimension of a tensor extends over.
enum class Size : uint8_t {
  kNone,  // no such dimension
  kVocabulary,
  kWidth,
  kHidden,
  kHeadDim,
  kRopePairs,  // head_dim / 2
  kQWidth,     // heads * head_dim
  kKvWidth,    // kv_heads * head_dim
};

const char* size_name(Size size);
int64_t size_of(Size size, const Config& config, int64_t vocabulary);

// A row of the table: one tensor of a model, or one of each of its layers.
struct Tensor {
  using Vector = std::span<const float>;
  using Place =
      std::variant<WeightView Weights::*, Vector Weights::*, WeightView Layer::*, Vector Layer::*>;

  const char* role;  // the name of `place`
  const char* name;  // in a file, after "blk.<layer>." where layers have one each
  Place place;
  Size shape[2] = {};                // a matrix (n, k), or a vector (n,)
  const Architecture* only[8] = {};  // the architectures that have it; none for all
  bool optional = false;

  bool is_of(const Architecture& architecture) const;
  bool of_layers() const {
    return std::holds_alternative<WeightView Layer::*>(place) ||
           std::holds_alternative<Vector Layer::*>(place);
  }
  int ndim() const { return shape[1] == Size::kNone ? 1 : 2; }
  std::string name_in(int64_t layer) const;  // in a file; `layer` counts where layers have one
};

// In the order of their use.
std::span<const Tensor> tensors();

// Calls visit(tensor, layer, place) for a tensor's place in the model, or in each of its layers.
template <class W, class T, class Visit>
Status for_each_place(const Tensor& tensor, W& weights, T Weights::* place, const Visit& visit) {
  return visit(tensor, 0, weights.*place);
}
template <class W, class T, class Visit>
Status for_each_place(const Tensor& tensor, W& weights, T Layer::* place, const Visit& visit) {
  for (size_t i = 0; i < weights.layers.size(); ++i) {
    QK_TRY(visit(tensor, static_cast<int64_t>(i), weights.layers[i].*place));
  }
  return {};
}

// Calls visit(tensor, layer, place), whose result is a Status, for every tensor of an architecture
// and its place in `weights`, a WeightView or a span of floats; ends with the first failure.
template <class W, class Visit>
Status for_each_tensor(const Architecture& architecture, W& weights, const Visit& visit) {
  for (const Tensor& tensor : tensors()) {
    if (!tensor.is_of(architecture)) continue;
    const auto visit_places = [&](auto place) {
      return for_each_place(tensor, weights, place, visit);
    };
    QK_TRY(std::visit(visit_places, tensor.place));
  }
  return {};
}

}  // namespace qk::llama
