// Weights as signed integers, with or without the scales and mins that make weights of them.
#include "ops/raw_ints.h"

#include <pybind11/numpy.h>
#include <utility>
#include <vector>

#include "bind/activations.h"
#include "bind/bind.h"
#include "bind/errors.h"
#include "bind/gil.h"
#include "bind/mapped.h"
#include "bind/weights.h"
#include "core/array.h"
#include "core/checked.h"

namespace py = pybind11;

namespace qk::bind {
namespace {

// A new array of the weights' shape, but for the last dimension. MemoryError where it does not fit,
// ValueError where its bytes pass 2^63.
template <class T>
py::array_t<T> new_array(const Weights& weights, int64_t last) {
  int64_t extents[kMaxDims];
  shape_of(weights.view, extents);
  std::vector<py::ssize_t> shape(extents, extents + weights.view.ndim);
  shape.back() = last;
  int64_t bytes = sizeof(T);
  for (const py::ssize_t extent : shape) {
    if (!checked_mul(bytes, extent, &bytes)) {
      throw py::value_error("the integers of these weights pass 2^63 bytes");
    }
  }
  return py::array_t<T>(std::move(shape));
}

int64_t group_of(const Weights& weights) {
  int64_t group = 0;
  raise_if_failed(integer_group(weights.view.format, &group));
  if (weights.kernels != nullptr) throw py::type_error("raw integers are of blocks; see unpack()");
  return group;
}

py::array_t<int8_t> py_raw_ints(const Weights& weights, int threads) {
  group_of(weights);
  const Parallel parallel = parallel_of(threads);
  auto out = new_array<int8_t>(weights, weights.view.k);
  int8_t* ints = out.mutable_data();
  Status status;
  {
    const ReleasedGil unlocked;
    status = raw_ints(parallel, weights.view, ints);
  }
  raise_if_failed(status);
  raise_if_cut(weights);
  return out;
}

std::pair<py::array_t<float>, py::array_t<float>> py_raw_scales(const Weights& weights,
                                                                int threads) {
  const int64_t groups = ceil_div(weights.view.k, group_of(weights));
  const Parallel parallel = parallel_of(threads);
  auto scales = new_array<float>(weights, groups);
  auto mins = new_array<float>(weights, groups);
  float* first_scale = scales.mutable_data();
  float* first_min = mins.mutable_data();
  Status status;
  {
    const ReleasedGil unlocked;
    status = raw_scales(parallel, weights.view, first_scale, first_min);
  }
  raise_if_failed(status);
  raise_if_cut(weights);
  return {std::move(scales), std::move(mins)};
}

}  // namespace

void bind_raw_ints(py::module_& m) {
  m.def("integer_group", &group_of, py::arg("weights"), "Weights that share a scale.");
  m.def("raw_ints", &py_raw_ints, py::arg("weights"), py::arg("threads"),
        "The integers of weights without their scales, of the weights' shape.");
  m.def("raw_scales", &py_raw_scales, py::arg("weights"), py::arg("threads"),
        "(scales, mins) with which weight = scale * integer + min, one a group of a row.");
}

}  // namespace qk::bind
