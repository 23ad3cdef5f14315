// The streaming micro-kernels: their layouts, and products that are timed where they run.
#include "ops/stream.h"

#include <chrono>
#include <pybind11/typing.h>
#include <string>

#include "bind/array.h"
#include "bind/bind.h"
#include "bind/errors.h"
#include "bind/gil.h"
#include "bind/operands.h"
#include "bind/text.h"
#include "dispatch/dispatch.h"

namespace py = pybind11;

namespace qk::bind {
namespace {

using Layouts = py::typing::Dict<py::str, py::typing::Tuple<py::int_, py::int_>>;
using TimedResult = py::typing::Tuple<py::float_, py::array_t<int32_t>>;

StreamKernel kernel_of(py::handle kernel) {
  if (!py::isinstance<py::str>(kernel)) {
    throw py::type_error("kernel must be a str, not " +
                         py::cast<std::string>(py::type::handle_of(kernel).attr("__name__")));
  }
  StreamKernel parsed{};
  raise_if_failed(parse_stream_kernel(name_of(kernel).c_str(), &parsed));
  return parsed;
}

Layouts layouts() {
  py::dict found;
  for (int i = 0; i < kStreamKernels; ++i) {
    const auto kernel = static_cast<StreamKernel>(i);
    const StreamLayout layout = stream_layout(kernel);
    found[stream_kernel_name(kernel)] = py::make_tuple(layout.rows, layout.bytes);
  }
  return found;
}

// Products with the copies in turn, from copy `first` on; the seconds that they took.
double run_products(const KernelTable& kernels, const StreamProduct& product, int64_t first,
                    int64_t iterations, const int8_t* x, int32_t* out) {
  using Clock = std::chrono::steady_clock;
  const Clock::time_point begin = Clock::now();
  int64_t copy = first % product.copies;
  for (int64_t i = 0; i < iterations; ++i) {
    stream_gemv(kernels, product, copy, x, out);
    copy = copy + 1 == product.copies ? 0 : copy + 1;
  }
  return std::chrono::duration<double>(Clock::now() - begin).count();
}

TimedResult py_stream_gemv(py::handle weights, py::handle x, py::handle kernel, int64_t prefetch,
                           int64_t first, int64_t iterations) {
  const KernelTable& kernels = current_kernels();
  const HeldArray held_weights = hold_array(weights, "weights");
  const HeldArray held_x = hold_array(x, "x");
  StreamProduct product;
  raise_if_failed(
      check_stream(kernel_of(kernel), held_weights.view, held_x.view, prefetch, &product));
  if (first < 0 || iterations < 1) {
    throw py::value_error("first=" + std::to_string(first) + " and iterations=" +
                          std::to_string(iterations) + " must be at least 0 and 1");
  }
  py::array_t<int32_t> y(product.rows);
  int32_t* out = y.mutable_data();
  Scratch scratch = Scratch::activations();
  auto* padded = reinterpret_cast<int8_t*>(scratch.reserve(stream_x_bytes(product.depth)));
  double seconds = 0.0;
  {
    const ReleasedGil unlocked;
    pad_stream_x(held_x.view, product.depth, padded);
    seconds = run_products(kernels, product, first, iterations, padded, out);
  }
  return py::make_tuple(seconds, y);
}

}  // namespace

// NOLINTNEXTLINE(misc-const-correctness): every part of the module has this signature
void bind_stream(py::module_& m) {
  m.def("stream_layouts", &layouts,
        "How the weights of each streaming kernel lie: rows that lie together, and the bytes of\n"
        "each in turn, or 0 where rows stay whole.");
  m.def("stream_gemv", &py_stream_gemv, py::arg("weights"), py::arg("x"), py::arg("kernel"),
        py::arg("prefetch"), py::arg("first"), py::arg("iterations"),
        "Multiplies x, int8 (k,), by copy first, first + 1, ... of the weights, int8 (copies,\n"
        "groups, pieces, rows, bytes): the seconds that took, and the last product.");
}

}  // namespace qk::bind
