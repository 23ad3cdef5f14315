#include "llama/weights.h"

#include <type_traits>
#include <utility>

#include "llama/architecture.h"
#include "ops/shape_text.h"

namespace qk::llama {
namespace {

bool is_there(const WeightView& matrix) { return matrix.data != nullptr; }
bool is_there(std::span<const float> vector) { return vector.data() != nullptr; }

bool has_shape(const WeightView& matrix, const int64_t* shape, int ndim) {
  return ndim == 2 && matrix.ndim == 2 && matrix.n == shape[0] && matrix.k == shape[1];
}
bool has_shape(std::span<const float> vector, const int64_t* shape, int ndim) {
  return ndim == 1 && std::cmp_equal(vector.size(), shape[0]);
}

ShapeText shape_of(const WeightView& matrix) {
  const int64_t shape[] = {matrix.n, matrix.k};
  return {shape, 2};
}
ShapeText shape_of(std::span<const float> vector) {
  const auto size = static_cast<int64_t>(vector.size());
  return {&size, 1};
}

int64_t bytes(const WeightView& weights) { return weights.n * weights.row_stride; }

}  // namespace

Status check_weights(const Config& config, const Weights& weights) {
  const auto layers = static_cast<int64_t>(weights.layers.size());
  if (layers != config.layers) {
    return Status::value_error("the weights are of %lld layers, expected %lld", ll(layers),
                               ll(config.layers));
  }
  const auto check = [&](const Tensor& tensor, int64_t layer, const auto& found) -> Status {
    const std::string name = tensor.name_in(layer);
    if (!is_there(found)) {
      if (tensor.optional) return {};
      return Status::value_error("the model has no tensor %s", name.c_str());
    }
    int64_t shape[2] = {};
    for (int d = 0; d < tensor.ndim(); ++d) {
      shape[d] = size_of(tensor.shape[d], config, weights.embedding.n);
    }
    if (has_shape(found, shape, tensor.ndim())) return {};
    return Status::value_error("%s has shape %s, expected %s", name.c_str(), shape_of(found).text,
                               ShapeText(shape, tensor.ndim()).text);
  };
  return for_each_tensor(*config.architecture, weights, check);
}

int64_t bytes_of_a_token(const Config& config, const Weights& weights) {
  int64_t total = bytes(weights.output());
  const auto add = [&](const Tensor& tensor, int64_t /*layer*/, const auto& found) -> Status {
    if constexpr (std::is_same_v<decltype(found), const WeightView&>) {
      if (tensor.of_layers()) total += bytes(found);
    }
    return {};
  };
  (void)for_each_tensor(*config.architecture, weights, add);
  return total;
}

}  // namespace qk::llama
