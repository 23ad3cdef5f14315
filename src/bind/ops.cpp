// The products and the decoding operators: buffers in, checks, the GIL released, arrays out.
#include <optional>
#include <pybind11/stl.h>  // IWYU pragma: keep (shapes as tuples)
#include <string>
#include <vector>

#include "bind/activations.h"
#include "bind/array.h"
#include "bind/bind.h"
#include "bind/errors.h"
#include "bind/weights.h"
#include "core/array.h"
#include "core/checked.h"
#include "dispatch/dispatch.h"
#include "formats/registry.h"
#include "ops/decode.h"
#include "ops/linear.h"
#include "ops/pack.h"
#include "ops/shapes.h"

namespace py = pybind11;

namespace qk::bind {
namespace {

// Scratch of one thread, kept between calls unless it grew large.
class Scratch {
 public:
  explicit Scratch(AlignedBuffer& buffer) : buffer_(buffer) {}
  ~Scratch() {
    if (buffer_.capacity() > kKeep) buffer_.release();
  }
  Scratch(const Scratch&) = delete;
  Scratch& operator=(const Scratch&) = delete;

  std::byte* reserve(int64_t bytes) {
    raise_if_failed(buffer_.reserve(bytes));
    return buffer_.data();
  }

 private:
  static constexpr int64_t kKeep = 4 << 20;
  AlignedBuffer& buffer_;
};

thread_local AlignedBuffer activation_buffer;
thread_local AlignedBuffer float_buffer;

// What a product needs to know of x, whether it comes as an array or already quantised.
struct Input {
  const Activations* ready = nullptr;  // null where x is an array
  HeldArray array;
  Act act{};
  int64_t m = 0;
  int64_t k = 0;
  std::vector<int64_t> shape;
};

Input read_input(py::handle x, py::handle act, int format) {
  Input input;
  if (py::isinstance<Activations>(x)) {
    input.ready = py::cast<const Activations*>(x);
    const ActivationsView& view = input.ready->view;
    if (view.kernels != &current_kernels()) {
      throw py::value_error(std::string("the activations were quantised for ") + view.kernels->isa +
                            "; the ISA in use is " + current_kernels().isa);
    }
    input.act = view.act;
    input.m = view.m;
    input.k = view.k;
    input.shape = input.ready->shape;
    return input;
  }
  input.act = effective_act(format, act_of(act));
  input.array = hold_array(x, "x");
  raise_if_failed(check_activations(input.array.view, &input.m, &input.k));
  input.shape.assign(input.array.view.shape, input.array.view.shape + input.array.view.ndim);
  return input;
}

std::optional<HeldArray> read_bias(py::handle bias, int64_t n) {
  if (bias.is_none()) return std::nullopt;
  HeldArray held = hold_array(bias, "bias");
  raise_if_failed(check_bias(held.view, n));
  return held;
}

// Where results go: straight into `out`, or into float scratch that is then copied there.
struct Output {
  py::object object;
  HeldArray held;
  float* direct = nullptr;  // null where the result has to be converted
  int64_t stride = 0;       // floats between batch rows, for `direct`
};

Output prepare_output(py::handle out, const std::vector<int64_t>& shape) {
  const int ndim = static_cast<int>(shape.size());
  Output output;
  if (out.is_none()) {
    int64_t bytes = sizeof(float);
    for (const int64_t extent : shape) {
      if (checked_mul(bytes, extent, &bytes)) continue;
      throw py::value_error("the result of shape " +
                            py::cast<std::string>(py::str(py::tuple(py::cast(shape)))) +
                            " passes 2^63 bytes");
    }
    output.object = new_float_array(shape.data(), ndim);
    output.held = hold_array(output.object, "out");
  } else {
    output.object = py::reinterpret_borrow<py::object>(out);
    output.held = hold_array(out, "out");
    raise_if_failed(check_out(output.held.view, shape.data(), ndim));
  }
  const ArrayView& view = output.held.view;
  const int64_t stride = uniform_row_stride(view);
  if (view.type == ScalarType::kF32 && has_contiguous_rows(view) && stride >= 0 &&
      stride % 4 == 0 && reinterpret_cast<uintptr_t>(view.data) % alignof(float) == 0) {
    output.direct = static_cast<float*>(view.data);
    output.stride = stride / 4;
  }
  return output;
}

void copy_out(const float* result, int64_t m, int64_t n, const ArrayView& out) {
  const int64_t stride = out.strides[out.ndim - 1];
  for (int64_t row = 0; row < m; ++row) {
    store_floats(result + row * n, n, row_address(out, row), stride, out.type);
  }
}

// From the first byte to the last. Strides may be anything where nobody has allocated what they
// say.
int64_t weight_bytes(const WeightView& view) {
  int64_t rows = 0;
  int64_t experts = 0;
  int64_t bytes = 0;
  if (view.layout == Layout::kPanels) {
    const int panel = panel_rows(current_kernels(), view.format);
    raise_if_failed(packed_bytes(view.n, view.row_stride, panel, &bytes));
    return bytes;
  }
  raise_if_failed(row_bytes(view.format, view.k, &bytes));
  if (!checked_mul(view.n - 1, view.row_stride, &rows) ||
      !checked_mul(view.experts - 1, view.expert_stride, &experts) ||
      !checked_add(bytes, rows, &bytes) || !checked_add(bytes, experts, &bytes)) {
    throw py::value_error("the weights' rows lie up to 2^63 bytes apart");
  }
  return bytes;
}

ArrayView bytes_of(const WeightView& view) {
  ArrayView bytes;
  bytes.data = const_cast<uint8_t*>(view.data);
  bytes.type = ScalarType::kU8;
  bytes.ndim = 1;
  bytes.shape[0] = weight_bytes(view);
  bytes.strides[0] = 1;
  return bytes;
}

void refuse_overlaps(const Output& output, const Input& input, const std::optional<HeldArray>& bias,
                     const WeightView& weights) {
  if (input.ready == nullptr) refuse_overlap(output.held, input.array.view, "x");
  if (bias) refuse_overlap(output.held, bias->view, "bias");
  refuse_overlap(output.held, bytes_of(weights), "weights");
}

py::object py_linear(const Weights& weights, py::handle x, py::handle bias, py::handle act,
                     py::handle out, int threads, bool vector) {
  const WeightView& view = weights.view;
  check_isa(weights);
  const Parallel parallel = parallel_of(threads);
  const Input input = read_input(x, act, view.format);
  if (vector && input.shape.size() != 1) {
    throw py::value_error("gemv takes one vector x of shape (k,), not " +
                          std::to_string(input.shape.size()) + " dimensions; see gemm");
  }
  raise_if_failed(check_product(view, input.k));
  const std::optional<HeldArray> held_bias = read_bias(bias, view.n);
  std::vector<int64_t> out_shape = input.shape;
  out_shape.back() = view.n;
  const Output output = prepare_output(out, out_shape);
  if (!out.is_none()) refuse_overlaps(output, input, held_bias, view);

  int64_t floats = held_bias ? view.n : 0;
  int64_t results = 0;
  int64_t float_bytes = 0;
  if ((output.direct == nullptr && !checked_mul(input.m, view.n, &results)) ||
      !checked_add(floats, results, &floats) || !checked_mul(floats, 4, &float_bytes)) {
    throw py::value_error("the result passes 2^63 bytes");
  }
  Scratch float_scratch(float_buffer);
  auto* scratch = reinterpret_cast<float*>(float_scratch.reserve(float_bytes));
  float* bias_values = held_bias ? scratch + results : nullptr;
  Scratch activation_scratch(activation_buffer);
  std::byte* memory = nullptr;
  if (input.ready == nullptr) {
    int64_t bytes = 0;
    raise_if_failed(activations_bytes(input.act, input.m, input.k, &bytes));
    memory = activation_scratch.reserve(bytes);
  }

  Status status;
  {
    const py::gil_scoped_release unlocked;
    ActivationsView activations;
    if (input.ready != nullptr) {
      activations = input.ready->view;
    } else {
      status = quantize_activations(parallel, current_kernels(), input.array.view, input.act,
                                    memory, &activations);
    }
    if (held_bias) {
      const ArrayView& b = held_bias->view;
      load_floats(static_cast<const uint8_t*>(b.data), b.strides[0], b.type, view.n, bias_values);
    }
    if (status.ok()) {
      const bool direct = output.direct != nullptr;
      status = linear(parallel, activations,
                      {.weights = &view,
                       .out = direct ? output.direct : scratch,
                       .out_stride = direct ? output.stride : view.n,
                       .bias = bias_values});
    }
    if (status.ok() && output.direct == nullptr) {
      copy_out(scratch, input.m, view.n, output.held.view);
    }
  }
  raise_if_failed(status);
  return output.object;
}

void py_dequantize(const Weights& weights, py::handle out, int threads) {
  check_isa(weights);
  const HeldArray held = hold_array(out, "out");
  const Parallel parallel = parallel_of(threads);
  refuse_overlap(held, bytes_of(weights.view), "weights");
  Status status;
  {
    const py::gil_scoped_release unlocked;
    status = dequantize(parallel, current_kernels(), weights.view, held.view);
  }
  raise_if_failed(status);
}

void py_get_rows(const Weights& weights, const py::array_t<int64_t, py::array::c_style>& ids,
                 py::handle out, int threads) {
  check_isa(weights);
  std::vector<int64_t> shape(ids.shape(), ids.shape() + ids.ndim());
  shape.push_back(weights.view.k);
  const HeldArray held = hold_array(out, "out");
  const Parallel parallel = parallel_of(threads);
  raise_if_failed(check_out(held.view, shape.data(), static_cast<int>(shape.size())));
  refuse_overlap(held, bytes_of(weights.view), "weights");
  const int64_t* values = ids.data();
  const int64_t count = ids.size();
  Status status;
  {
    const py::gil_scoped_release unlocked;
    status = get_rows(parallel, current_kernels(), weights.view, values, count, held.view);
  }
  raise_if_failed(status);
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
