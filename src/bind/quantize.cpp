// Quantising for Python.
#include "ops/quantize.h"

#include <pybind11/numpy.h>
#include <vector>

#include "bind/activations.h"
#include "bind/array.h"
#include "bind/bind.h"
#include "bind/errors.h"
#include "bind/gil.h"
#include "bind/mapped.h"
#include "bind/weights.h"
#include "core/aligned.h"
#include "core/checked.h"
#include "dispatch/dispatch.h"

namespace py = pybind11;

namespace qk::bind {
namespace {

py::array_t<uint8_t> py_quantize(py::handle a, py::handle fmt, py::handle imatrix, bool pad,
                                 int threads, int64_t first_row) {
  const KernelTable& kernels = current_kernels();
  const Parallel parallel = parallel_of(threads);
  const HeldArray held = hold_floats(a, "a");
  QuantizeJob job;
  raise_if_failed(plan_quantize(kernels, format_of(fmt), held.view, pad, &job));
  job.first_row = first_row;
  AlignedBuffer importance;
  if (!imatrix.is_none()) {
    const HeldArray held_imatrix = hold_floats(imatrix, "imatrix");
    int64_t bytes = 0;
    raise_if_failed(importance_floats(job, held_imatrix.view, &bytes));
    if (!checked_mul(bytes, sizeof(float), &bytes)) bytes = -1;
    raise_if_failed(importance.reserve(bytes));
    auto* floats = reinterpret_cast<float*>(importance.data());
    raise_if_failed(read_importance(held_imatrix.view, floats, &job));
    raise_if_cut(held_imatrix);
  }
  std::vector<int64_t> shape(held.view.shape, held.view.shape + held.view.ndim);
  shape.back() = job.row_bytes;
  py::array_t<uint8_t> out(shape);
  uint8_t* blocks = out.mutable_data();
  Status status;
  {
    const ReleasedGil unlocked;
    status = quantize(parallel, job, blocks);
  }
  raise_if_failed(status);
  raise_if_cut(held.view);
  return out;
}

}  // namespace

void bind_quantize(py::module_& m) {
  m.def("quantize", &py_quantize, py::arg("a"), py::arg("fmt"), py::arg("imatrix"), py::arg("pad"),
        py::arg("threads"), py::arg("first_row") = 0,
        "The blocks of weights (..., k), uint8 (..., row_bytes).");
  m.def(
      "takes_importance",
      [](py::handle fmt) { return takes_importance(current_kernels(), format_of(fmt)); },
      py::arg("fmt"), "Whether a format's blocks depend on an importance matrix.");
  m.def(
      "can_quantize",
      [](py::handle fmt) { return can_quantize(current_kernels(), format_of(fmt)); },
      py::arg("fmt"), "Whether weights can be quantised to a format.");
}

}  // namespace qk::bind
