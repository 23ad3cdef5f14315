// RoPE for Python.
#include "ops/rope.h"

#include <pybind11/numpy.h>
#include <string>
#include <vector>

#include "bind/activations.h"
#include "bind/array.h"
#include "bind/bind.h"
#include "bind/errors.h"
#include "bind/gil.h"
#include "bind/mapped.h"
#include "bind/operands.h"
#include "bind/text.h"
#include "core/checked.h"
#include "core/fp_environment.h"
#include "kernels/dense.h"

namespace py = pybind11;

namespace qk::bind {
namespace {

py::object py_rope(py::handle x, const py::array_t<int64_t, py::array::c_style>& positions,
                   double base, py::handle kind, double scale, py::handle factors, py::handle out,
                   int threads) {
  const FpEnvironment environment;
  const HeldArray held = hold_floats(x, "x");
  const Parallel parallel = parallel_of(threads, held.is_torch);
  Rope rope{.base = base, .scale = scale};
  raise_if_failed(parse_rope_kind(str_argument(kind, "kind").c_str(), &rope.kind));
  raise_if_failed(check_rope(rope, held.view));
  const std::vector<int64_t> shape(held.view.shape, held.view.shape + held.view.ndim);
  const int64_t tokens = shape[shape.size() - 2];
  const bool consecutive = positions.ndim() == 0;
  int64_t last = 0;
  if (!consecutive && (positions.ndim() != 1 || positions.size() != tokens)) {
    throw py::value_error(std::to_string(positions.size()) + " positions in " +
                          std::to_string(positions.ndim()) + " dimensions for " +
                          std::to_string(tokens) + " tokens");
  }
  if (consecutive && !checked_add(*positions.data(), tokens, &last)) {
    throw py::value_error("position " + std::to_string(*positions.data()) + " + " +
                          std::to_string(tokens) + " tokens passes 2^63");
  }
  float values[kMaxHeadDim / 2];
  if (!factors.is_none()) {
    const HeldArray held_factors = hold_floats(factors, "factors");
    raise_if_failed(read_factors(held_factors.view, shape.back(), values));
    rope.factors = values;
  }
  const int64_t* first = positions.data();
  raise_if_failed(check_angles(rope, held.view, first, consecutive));
  const Output output = prepare_output(out, shape, held.is_torch);
  if (!out.is_none()) refuse_other_overlap(output.held, held.view, "x");
  {
    const ReleasedGil unlocked;
    rope_rows(parallel, rope, held.view, first, consecutive, output.held.view);
  }
  raise_if_cut(held);
  return output.result();
}

}  // namespace

void bind_rope(py::module_& m) {
  m.def("rope", &py_rope, py::arg("x"), py::arg("positions"), py::arg("base"), py::arg("kind"),
        py::arg("scale"), py::arg("factors"), py::arg("out"), py::arg("threads"),
        "Rotary position embedding of x of shape (..., tokens, head_dim).");
}

}  // namespace qk::bind
