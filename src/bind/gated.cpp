// What gates leave of x: the start of a product without the columns that they drop.
#include <algorithm>
#include <optional>
#include <pybind11/numpy.h>
#include <pybind11/stl.h>  // IWYU pragma: keep (a list of weights)
#include <string>
#include <vector>

#include "bind/activations.h"
#include "bind/array.h"
#include "bind/bind.h"
#include "bind/errors.h"
#include "bind/operands.h"
#include "bind/torch_tensor.h"
#include "bind/weights.h"
#include "core/array.h"
#include "core/fp_environment.h"
#include "dispatch/dispatch.h"
#include "ops/shapes.h"

namespace py = pybind11;

namespace qk::bind {
namespace {

using Mask = py::array_t<bool, py::array::c_style>;

// x of shape (k,), as it may enter a product.
HeldArray hold_vector(py::handle x) {
  HeldArray held = hold_floats(x, "x");
  int64_t m = 0;
  int64_t k = 0;
  raise_if_failed(check_activations(held.view, &m, &k));
  if (held.view.ndim != 1) {
    throw py::value_error("gates take one vector x of shape (k,), not " +
                          std::to_string(held.view.ndim) + " dimensions");
  }
  return held;
}

void check_mask(const Mask& keep, int64_t block_k, int64_t k) {
  if (block_k < 1 || block_k > k) {
    throw py::value_error("block_k=" + std::to_string(block_k) + " is outside 1.." +
                          std::to_string(k));
  }
  const int64_t blocks = (k - 1) / block_k + 1;
  if (keep.ndim() != 1 || keep.size() != blocks) {
    throw py::value_error("a mask of shape " + py::cast<std::string>(py::str(keep.attr("shape"))) +
                          "; k=" + std::to_string(k) + " has " + std::to_string(blocks) +
                          " blocks of " + std::to_string(block_k));
  }
}

// How many columns are kept. The last block may be a short one.
int64_t kept_count(const std::vector<uint8_t>& keep, int64_t block_k, int64_t k) {
  const auto last = static_cast<int64_t>(keep.size()) - 1;
  const int64_t whole = std::count(keep.begin(), keep.end() - 1, 1) * block_k;
  return whole + (keep.back() != 0 ? k - last * block_k : 0);
}

py::array kept_columns(py::handle x, const Mask& keep, int64_t block_k, bool gather) {
  const FpEnvironment environment;
  const HeldArray held = hold_vector(x);
  const ArrayView& view = held.view;
  const int64_t k = view.shape[0];
  check_mask(keep, block_k, k);
  // A copy: the mask may be another thread's to change, and is counted before it is used.
  const std::vector<uint8_t> kept(keep.data(), keep.data() + keep.size());
  const int64_t length = gather ? kept_count(kept, block_k, k) : k;
  py::array result = new_float_array(&length, 1);
  auto* out = static_cast<float*>(result.mutable_data());
  for (size_t b = 0; b < kept.size(); ++b) {
    const int64_t begin = static_cast<int64_t>(b) * block_k;
    const int64_t count = std::min(block_k, k - begin);
    if (kept[b] != 0) {
      const auto* first = static_cast<const uint8_t*>(view.data) + begin * view.strides[0];
      load_floats(first, view.strides[0], view.type, count, out);
    } else if (gather) {
      continue;
    } else {
      std::fill_n(out, count, 0.0f);
    }
    out += count;
  }
  return result;
}

// What is wrong with a call whose product is made by groups of rows, found before any of them; the
// bias in float32, or None.
py::object check_gated(int64_t n, py::handle bias, py::handle act, py::handle out,
                       const std::vector<const Weights*>& weights) {
  act_of(act);
  const std::optional<HeldArray> held_bias = read_bias(bias, n);
  if (!out.is_none()) {
    const HeldArray target = hold_out(out);
    raise_if_failed(check_out(target.view, &n, 1));
    if (held_bias) refuse_overlap(target, held_bias->view, "bias");
    for (const Weights* part : weights) refuse_overlap(target, bytes_of(*part), "weights");
  }
  const KernelTable& kernels = current_kernels();
  for (const Weights* part : weights) check_isa(*part, kernels);
  if (!held_bias) return py::none();
  py::array floats = new_float_array(&n, 1);
  const FpEnvironment environment;
  load_vector(*held_bias, static_cast<float*>(floats.mutable_data()));
  return floats;
}

// A vector into `out`, of its length and in its dtype.
void store(const py::array_t<float, py::array::c_style>& values, py::handle out) {
  const HeldArray target = hold_out(out);
  const int64_t n = values.size();
  raise_if_failed(check_out(target.view, &n, 1));
  const FpEnvironment environment;
  copy_out(values.data(), 1, n, target.view);
  if (target.is_torch) count_write(out);
}

}  // namespace

void bind_gated(py::module_& m) {
  m.def("kept_columns", &kept_columns, py::arg("x"), py::arg("keep"), py::arg("block_k"),
        py::arg("gather"),
        "x of shape (k,) in float32, with zeros in the blocks of columns whose `keep` is False, or"
        " without those when `gather`.");
  m.def("check_gated", &check_gated, py::arg("n"), py::arg("bias"), py::arg("act"), py::arg("out"),
        py::arg("weights"),
        "Checks a product of n rows that is made in parts; its bias in float32, or None.");
  m.def("store", &store, py::arg("values"), py::arg("out"), "Writes a vector of floats to out.");
}

}  // namespace qk::bind
