#include "bind/activations.h"

#include <memory>
#include <pybind11/typing.h>
#include <string>

#include "bind/array.h"
#include "bind/bind.h"
#include "bind/errors.h"
#include "bind/gil.h"
#include "bind/mapped.h"
#include "bind/sealed.h"
#include "bind/text.h"
#include "dispatch/dispatch.h"
#include "ops/shapes.h"

namespace py = pybind11;

namespace qk::bind {
namespace {

std::unique_ptr<Activations> make_activations(py::handle x, py::handle act_object, int threads) {
  const KernelTable& kernels = current_kernels();
  const HeldArray held = hold_floats(x, "x");
  const Parallel parallel = parallel_of(threads, held.is_torch);
  auto activations = std::make_unique<Activations>();
  const Act act = act_of(act_object);
  int64_t m = 0;
  int64_t k = 0;
  int64_t bytes = 0;
  raise_if_failed(check_activations(held.view, &m, &k));
  raise_if_failed(activations_bytes(act, m, k, &bytes));
  raise_if_failed(activations->memory.reserve(bytes));
  activations->shape.assign(held.view.shape, held.view.shape + held.view.ndim);
  if (held.is_torch) activations->is_torch = true;
  Status status;
  {
    const ReleasedGil unlocked;
    status = quantize_activations(parallel, kernels, held.view, act, activations->memory.data(),
                                  &activations->view);
  }
  raise_if_failed(status);
  raise_if_cut(held.view);
  return activations;
}

py::typing::Tuple<py::int_, py::ellipsis> shape_of(const Activations& activations) {
  py::tuple shape(activations.shape.size());
  for (size_t d = 0; d < activations.shape.size(); ++d) shape[d] = activations.shape[d];
  return shape;
}

}  // namespace

Act act_of(py::handle act) {
  Act parsed{};
  raise_if_failed(parse_act(str_argument(act, "act").c_str(), &parsed));
  return parsed;
}

void bind_activations(py::module_& m) {
  py::class_<Activations>(m, "Activations", "x quantised once, accepted as x by every product.")
      .def_property_readonly("shape", &shape_of, "The shape (..., k) of x.")
      .def_property_readonly(
          "act", [](const Activations& a) { return act_name(a.view.act); },
          "How x is held: 'int16', 'float32' or 'int8'.")
      .def_property_readonly(
          "isa", [](const Activations& a) { return a.view.kernels->isa; },
          "The ISA whose kernels read it.")
      .def_property_readonly(
          "nbytes", [](const Activations& a) { return a.memory.capacity(); },
          "The memory it takes, in bytes.")
      .def("__copy__", [](const py::object& self) { return self; })
      .def(
          "__deepcopy__", [](const py::object& self, const py::object&) { return self; },
          py::arg("memo"))
      .def(
          "__reduce__",
          [](const Activations& self) -> py::object {
            throw py::type_error(std::string("activations are laid out for the kernels of ") +
                                 self.view.kernels->isa + " and not pickled; pickle x itself");
          },
          "Refused: another process may have another ISA.")
      .def_property_readonly(
          "framework", [](const Activations& a) { return a.is_torch ? "torch" : "numpy"; },
          "What products with it return: 'numpy' or 'torch' arrays.");
  seal<Activations>();
  m.def("quantize_activations", &make_activations, py::arg("x"), py::arg("act"), py::arg("threads"),
        "Quantises x, of shape (..., k).");
}

}  // namespace qk::bind
