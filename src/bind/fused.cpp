// Operators made of several, for Python: a norm before a product, gates, a feed-forward block.
#include "ops/fused.h"

#include <algorithm>
#include <initializer_list>
#include <optional>
#include <vector>

#include "bind/activations.h"
#include "bind/array.h"
#include "bind/bind.h"
#include "bind/errors.h"
#include "bind/gil.h"
#include "bind/mapped.h"
#include "bind/operands.h"
#include "bind/weights.h"
#include "core/fp_environment.h"
#include "dispatch/dispatch.h"
#include "ops/shapes.h"

namespace py = pybind11;

namespace qk::bind {
namespace {

using Matrices = std::initializer_list<const Weights*>;

// x of shape (..., k), and the gains of a norm before it is quantised; no gains for None.
struct NormedInput {
  HeldArray x;
  int64_t m = 0;
  int64_t k = 0;
  std::optional<HeldArray> gains;
  float epsilon = 0.0f;
};

NormedInput read_input(py::handle x, py::handle gains, double epsilon) {
  const FpEnvironment environment;
  NormedInput input;
  input.x = hold_floats(x, "x");
  raise_if_failed(check_activations(input.x.view, &input.m, &input.k));
  if (gains.is_none()) return input;
  input.gains = hold_floats(gains, "gains");
  raise_if_failed(check_norm(input.gains->view, input.k, epsilon));
  input.epsilon = static_cast<float>(epsilon);
  return input;
}

std::vector<int64_t> result_shape(const NormedInput& input, int64_t n) {
  const ArrayView& x = input.x.view;
  std::vector<int64_t> shape(x.shape, x.shape + x.ndim);
  shape.back() = n;
  return shape;
}

std::optional<HeldArray> read_residual(py::handle residual, const std::vector<int64_t>& shape) {
  if (residual.is_none()) return std::nullopt;
  HeldArray held = hold_floats(residual, "residual");
  raise_if_failed(check_residual(held.view, shape.data(), static_cast<int>(shape.size())));
  return held;
}

// The kernels in use, for which packed matrices have to be.
const KernelTable& kernels_for(Matrices matrices) {
  const KernelTable& kernels = current_kernels();
  for (const Weights* weights : matrices) check_isa(*weights, kernels);
  return kernels;
}

// x and the residual are read before a result is written, so that it may take their place.
void refuse_overlaps(const Output& output, const NormedInput& input,
                     const std::optional<HeldArray>& bias, const std::optional<HeldArray>& residual,
                     Matrices matrices) {
  refuse_other_overlap(output.held, input.x.view, "x");
  if (residual) refuse_other_overlap(output.held, residual->view, "residual");
  if (input.gains) refuse_overlap(output.held, input.gains->view, "gains");
  if (bias) refuse_overlap(output.held, bias->view, "bias");
  for (const Weights* weights : matrices) {
    refuse_overlap(output.held, bytes_of(*weights), "weights");
  }
}

// The memory of a call, in floats: gains, bias, a result that is converted at the end, and some for
// the products of gate and up.
class Memory {
 public:
  Memory(const NormedInput& input, const std::optional<HeldArray>& bias, const Output& output,
         int64_t n, int64_t gate_width, int64_t up_width)
      : input_(input),
        bias_(bias),
        output_(output),
        n_(n),
        gains_(floats_.add(1, input.gains ? input.k : 0)),
        bias_at_(floats_.add(1, bias ? n : 0)),
        result_(floats_.add(output.direct == nullptr ? input.m : 0, n)),
        gate_(floats_.add(input.m, gate_width)),
        up_(floats_.add(input.m, up_width)) {}

  void reserve(int64_t activation_bytes) {
    floats_.reserve();
    activations_ = activation_scratch_.reserve(activation_bytes);
  }

  Status quantize(const Parallel& parallel, const KernelTable& kernels, Act act,
                  ActivationsView* out) {
    const RmsNorm norm{floats_.at(gains_), input_.epsilon};
    if (input_.gains) load_vector(*input_.gains, floats_.at(gains_));
    return quantize_activations(parallel, kernels, input_.x.view, act, activations_, out,
                                input_.gains ? &norm : nullptr);
  }

  const float* bias() {
    if (!bias_) return nullptr;
    load_vector(*bias_, floats_.at(bias_at_));
    return floats_.at(bias_at_);
  }

  bool is_direct() const { return output_.direct != nullptr; }
  float* result() const { return is_direct() ? output_.direct : floats_.at(result_); }
  int64_t stride() const { return is_direct() ? output_.stride : n_; }
  float* gate() const { return floats_.at(gate_); }
  float* up() const { return floats_.at(up_); }
  std::byte* activations() const { return activations_; }

  void finish() const {
    if (!is_direct()) copy_out(result(), input_.m, n_, output_.held.view);
  }

 private:
  const NormedInput& input_;
  const std::optional<HeldArray>& bias_;
  const Output& output_;
  int64_t n_;
  FloatArrays floats_;  // in which the next five are places
  int64_t gains_;
  int64_t bias_at_;
  int64_t result_;
  int64_t gate_;
  int64_t up_;
  Scratch activation_scratch_ = Scratch::activations();
  std::byte* activations_ = nullptr;
};

const ArrayView* view_of(const std::optional<HeldArray>& held) {
  return held ? &held->view : nullptr;
}

py::object py_rmsnorm_linear(const Weights& weights, py::handle x, py::handle gains, double epsilon,
                             py::handle bias, py::handle residual, py::handle act, py::handle out,
                             int threads) {
  const WeightView& view = weights.view;
  const KernelTable& kernels = kernels_for({&weights});
  const Act kind = common_act({&view}, act_of(act));
  const NormedInput input = read_input(x, gains, epsilon);
  const Parallel parallel = parallel_of(threads, input.x.is_torch);
  raise_if_failed(check_product(view, input.k));
  const std::optional<HeldArray> held_bias = read_bias(bias, view.n);
  const std::vector<int64_t> shape = result_shape(input, view.n);
  const std::optional<HeldArray> held_residual = read_residual(residual, shape);
  int64_t bytes = 0;
  raise_if_failed(activations_bytes(kind, input.m, input.k, &bytes));
  const Output output = prepare_output(out, shape, input.x.is_torch);
  if (!out.is_none()) refuse_overlaps(output, input, held_bias, held_residual, {&weights});
  Memory memory(input, held_bias, output, view.n, 0, 0);
  memory.reserve(bytes);
  Status status;
  {
    const ReleasedGil unlocked;
    ActivationsView activations;
    status = memory.quantize(parallel, kernels, kind, &activations);
    if (status.ok()) {
      status = linear_onto(parallel, kernels, activations,
                           {.weights = &view,
                            .out = memory.result(),
                            .out_stride = memory.stride(),
                            .bias = memory.bias()},
                           view_of(held_residual));
    }
    if (status.ok()) memory.finish();
  }
  raise_if_failed(status);
  raise_if_cut(weights, input.x, input.gains, held_bias, held_residual);
  return output.result();
}

py::object py_swiglu_proj(const Weights& gate, const Weights& up, py::handle x, py::handle act,
                          py::handle out, int threads) {
  const KernelTable& kernels = kernels_for({&gate, &up});
  const Act kind = common_act({&gate.view, &up.view}, act_of(act));
  const NormedInput input = read_input(x, py::none(), 0.0);
  const Parallel parallel = parallel_of(threads, input.x.is_torch);
  raise_if_failed(check_gated(gate.view, up.view, input.k));
  int64_t bytes = 0;
  raise_if_failed(activations_bytes(kind, input.m, input.k, &bytes));
  const int64_t n = gate.view.n;
  const Output output = prepare_output(out, result_shape(input, n), input.x.is_torch);
  if (!out.is_none()) refuse_overlaps(output, input, {}, {}, {&gate, &up});
  const std::optional<HeldArray> no_bias;
  Memory memory(input, no_bias, output, n, 0, n);
  memory.reserve(bytes);
  Status status;
  {
    const ReleasedGil unlocked;
    ActivationsView activations;
    status = memory.quantize(parallel, kernels, kind, &activations);
    if (status.ok()) {
      status = gated(parallel, kernels, activations,
                     {.weights = &gate.view, .out = memory.result(), .out_stride = memory.stride()},
                     {.weights = &up.view, .out = memory.up(), .out_stride = n});
    }
    if (status.ok()) memory.finish();
  }
  raise_if_failed(status);
  raise_if_cut(gate, up, input.x);
  return output.result();
}

py::object py_swiglu_ffn(const Weights& gate, const Weights& up, const Weights& down, py::handle x,
                         py::handle gains, double epsilon, py::handle residual, py::handle act,
                         py::handle out, int threads) {
  const KernelTable& kernels = kernels_for({&gate, &up, &down});
  const Act asked = act_of(act);
  const Act kind = common_act({&gate.view, &up.view}, asked);
  const NormedInput input = read_input(x, gains, epsilon);
  const Parallel parallel = parallel_of(threads, input.x.is_torch);
  const FeedForward block{.gate = &gate.view, .up = &up.view, .down = &down.view};
  raise_if_failed(check_feed_forward(block, input.k));
  const int64_t hidden = gate.view.n;
  const std::vector<int64_t> shape = result_shape(input, down.view.n);
  const std::optional<HeldArray> held_residual = read_residual(residual, shape);
  int64_t bytes = 0;
  int64_t hidden_bytes = 0;
  raise_if_failed(activations_bytes(kind, input.m, input.k, &bytes));
  raise_if_failed(
      activations_bytes(common_act({&down.view}, asked), input.m, hidden, &hidden_bytes));
  const Output output = prepare_output(out, shape, input.x.is_torch);
  if (!out.is_none()) refuse_overlaps(output, input, {}, held_residual, {&gate, &up, &down});
  const std::optional<HeldArray> no_bias;
  Memory memory(input, no_bias, output, down.view.n, hidden, hidden);
  memory.reserve(std::max(bytes, hidden_bytes));
  Status status;
  {
    const ReleasedGil unlocked;
    ActivationsView activations;
    status = memory.quantize(parallel, kernels, kind, &activations);
    if (status.ok()) {
      status = feed_forward(parallel, kernels, activations, block, asked,
                            {memory.gate(), memory.up(), memory.activations()}, memory.result(),
                            memory.stride(), view_of(held_residual));
    }
    if (status.ok()) memory.finish();
  }
  raise_if_failed(status);
  raise_if_cut(gate, up, down, input.x, input.gains, held_residual);
  return output.result();
}

}  // namespace

void bind_fused(py::module_& m) {
  m.def("rmsnorm_linear", &py_rmsnorm_linear, py::arg("weights"), py::arg("x"), py::arg("gains"),
        py::arg("eps"), py::arg("bias"), py::arg("residual"), py::arg("act"), py::arg("out"),
        py::arg("threads"), "rmsnorm(x) @ weights.T + bias + residual for x of shape (..., k).");
  m.def("swiglu_proj", &py_swiglu_proj, py::arg("gate"), py::arg("up"), py::arg("x"),
        py::arg("act"), py::arg("out"), py::arg("threads"),
        "silu(x @ gate.T) * (x @ up.T) for x of shape (..., k).");
  m.def("swiglu_ffn", &py_swiglu_ffn, py::arg("gate"), py::arg("up"), py::arg("down"), py::arg("x"),
        py::arg("gains"), py::arg("eps"), py::arg("residual"), py::arg("act"), py::arg("out"),
        py::arg("threads"), "swiglu_proj(rmsnorm(x)) @ down.T + residual for x of shape (..., k).");
}

}  // namespace qk::bind
