// The products and the decoding operators: buffers in, checks, the GIL released, arrays out.
#include <optional>
#include <string>
#include <vector>

#include "bind/activations.h"
#include "bind/array.h"
#include "bind/bind.h"
#include "bind/errors.h"
#include "bind/gil.h"
#include "bind/mapped.h"
#include "bind/operands.h"
#include "bind/torch_tensor.h"
#include "bind/weights.h"
#include "dispatch/dispatch.h"
#include "ops/decode.h"
#include "ops/linear.h"
#include "ops/shapes.h"

namespace py = pybind11;

namespace qk::bind {
namespace {

// What a product needs to know of x, whether it comes as an array or already quantised.
struct Input {
  const Activations* ready = nullptr;  // null where x is an array
  HeldArray array;
  bool is_torch = false;
  Act act{};
  int64_t m = 0;
  int64_t k = 0;
  std::vector<int64_t> shape;
};

Input read_input(const KernelTable& kernels, py::handle x, py::handle act, int format) {
  Input input;
  if (py::isinstance<Activations>(x)) {
    input.ready = py::cast<const Activations*>(x);
    const ActivationsView& view = input.ready->view;
    if (view.kernels != &kernels) {
      throw py::value_error(std::string("the activations were quantised for ") + view.kernels->isa +
                            "; the ISA in use is " + kernels.isa);
    }
    input.is_torch = input.ready->is_torch;
    input.act = view.act;
    input.m = view.m;
    input.k = view.k;
    input.shape = input.ready->shape;
    return input;
  }
  input.act = effective_act(format, act_of(act));
  input.array = hold_floats(x, "x");
  input.is_torch = input.array.is_torch;
  raise_if_failed(check_activations(input.array.view, &input.m, &input.k));
  input.shape.assign(input.array.view.shape, input.array.view.shape + input.array.view.ndim);
  return input;
}

void refuse_overlaps(const Output& output, const Input& input, const std::optional<HeldArray>& bias,
                     const Weights& weights) {
  if (input.ready == nullptr) refuse_overlap(output.held, input.array.view, "x");
  if (bias) refuse_overlap(output.held, bias->view, "bias");
  refuse_overlap(output.held, bytes_of(weights), "weights");
}

py::object py_linear(const Weights& weights, py::handle x, py::handle bias, py::handle act,
                     py::handle out, int threads, bool vector) {
  const WeightView& view = weights.view;
  const KernelTable& kernels = current_kernels();
  check_isa(weights, kernels);
  const Input input = read_input(kernels, x, act, view.format);
  const Parallel parallel = parallel_of(threads, input.is_torch);
  if (vector && input.shape.size() != 1) {
    throw py::value_error("gemv takes one vector x of shape (k,), not " +
                          std::to_string(input.shape.size()) + " dimensions; see gemm");
  }
  raise_if_failed(check_product(view, input.k));
  const std::optional<HeldArray> held_bias = read_bias(bias, view.n);
  std::vector<int64_t> out_shape = input.shape;
  out_shape.back() = view.n;
  const Output output = prepare_output(out, out_shape, input.is_torch);
  if (!out.is_none()) refuse_overlaps(output, input, held_bias, weights);

  const bool direct = output.direct != nullptr;
  FloatArrays floats;
  const int64_t bias_at = floats.add(1, held_bias ? view.n : 0);
  const int64_t result_at = floats.add(direct ? 0 : input.m, view.n);
  floats.reserve();
  Scratch activation_scratch = Scratch::activations();
  std::byte* memory = nullptr;
  if (input.ready == nullptr) {
    int64_t bytes = 0;
    raise_if_failed(activations_bytes(input.act, input.m, input.k, &bytes));
    memory = activation_scratch.reserve(bytes);
  }

  Status status;
  {
    const ReleasedGil unlocked;
    ActivationsView activations;
    if (input.ready != nullptr) {
      activations = input.ready->view;
    } else {
      status = quantize_activations(parallel, kernels, input.array.view, input.act, memory,
                                    &activations);
    }
    if (held_bias) load_vector(*held_bias, floats.at(bias_at));
    float* result = direct ? output.direct : floats.at(result_at);
    if (status.ok()) {
      status = linear(parallel, kernels, activations,
                      {.weights = &view,
                       .out = result,
                       .out_stride = direct ? output.stride : view.n,
                       .bias = held_bias ? floats.at(bias_at) : nullptr});
    }
    if (status.ok() && !direct) copy_out(result, input.m, view.n, output.held.view);
  }
  raise_if_failed(status);
  raise_if_cut(weights, input.array, held_bias);
  return output.result();
}

void py_dequantize(const Weights& weights, py::handle out, int threads) {
  const KernelTable& kernels = current_kernels();
  check_isa(weights, kernels);
  const HeldArray held = hold_out(out);
  const Parallel parallel = parallel_of(threads, held.is_torch);
  refuse_overlap(held, bytes_of(weights), "weights");
  Status status;
  {
    const ReleasedGil unlocked;
    status = dequantize(parallel, kernels, weights.view, held.view);
  }
  raise_if_failed(status);
  raise_if_cut(weights);
  if (held.is_torch) count_write(out);
}

void py_get_rows(const Weights& weights, const py::array_t<int64_t, py::array::c_style>& ids,
                 py::handle out, int threads) {
  const KernelTable& kernels = current_kernels();
  check_isa(weights, kernels);
  std::vector<int64_t> shape(ids.shape(), ids.shape() + ids.ndim());
  shape.push_back(weights.view.k);
  const HeldArray held = hold_out(out);
  const Parallel parallel = parallel_of(threads, held.is_torch);
  raise_if_failed(check_out(held.view, shape.data(), static_cast<int>(shape.size())));
  refuse_overlap(held, bytes_of(weights), "weights");
  const int64_t* values = ids.data();
  const int64_t count = ids.size();
  Status status;
  {
    const ReleasedGil unlocked;
    status = get_rows(parallel, kernels, weights.view, values, count, held.view);
  }
  raise_if_failed(status);
  raise_if_cut(weights);
  if (held.is_torch) count_write(out);
}

}  // namespace

void bind_ops(py::module_& m) {
  m.def("linear", &py_linear, py::arg("weights"), py::arg("x"), py::arg("bias"), py::arg("act"),
        py::arg("out"), py::arg("threads"), py::arg("vector"),
        "x @ weights.T + bias for x of shape (..., k), or (k,) alone when `vector`.");
  m.def("dequantize", &py_dequantize, py::arg("weights"), py::arg("out"), py::arg("threads"),
        "Decodes weights into out.");
  m.def("get_rows", &py_get_rows, py::arg("weights"), py::arg("ids"), py::arg("out"),
        py::arg("threads"), "Decodes the rows `ids` into out, of shape (*ids.shape, k).");
}

}  // namespace qk::bind
