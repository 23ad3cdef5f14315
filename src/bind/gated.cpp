// What gates leave of x: the start of a product without the columns that they drop.
#include <algorithm>
#include <cstring>
#include <iterator>
#include <pybind11/numpy.h>
#include <string>
#include <vector>

#include "bind/array.h"
#include "bind/bind.h"
#include "bind/errors.h"
#include "core/array.h"
#include "core/fp_environment.h"
#include "ops/shapes.h"

namespace py = pybind11;

namespace qk::bind {
namespace {

using Mask = py::array_t<bool, py::array::c_style>;

// x of shape (k,), as it may enter a product.
HeldArray hold_vector(py::handle x) {
  HeldArray held = hold_array(x, "x");
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
int64_t kept_count(const std::vector<uint8_t>& kept, int64_t block_k, int64_t k) {
  const int64_t whole =
      (std::ssize(kept) - std::count(kept.begin(), kept.end() - 1, 0) - 1) * block_k;
  return whole + (kept.back() != 0 ? k - (std::ssize(kept) - 1) * block_k : 0);
}

// The mask as it is now: another thread may change it between counting and gathering.
std::vector<uint8_t> copy_of(const Mask& keep) {
  std::vector<uint8_t> copy(static_cast<size_t>(keep.size()));
  std::memcpy(copy.data(), keep.data(), copy.size());
  return copy;
}

py::array kept_columns(py::handle x, const Mask& keep, int64_t block_k, bool gather) {
  const FpEnvironment environment;
  const HeldArray held = hold_vector(x);
  const ArrayView& view = held.view;
  const int64_t k = view.shape[0];
  check_mask(keep, block_k, k);
  const std::vector<uint8_t> kept = copy_of(keep);
  const int64_t length = gather ? kept_count(kept, block_k, k) : k;
  py::array result = new_float_array(&length, 1);
  auto* out = static_cast<float*>(result.mutable_data());
  for (int64_t b = 0; b < std::ssize(kept); ++b) {
    const int64_t begin = b * block_k;
    const int64_t count = std::min(block_k, k - begin);
    if (kept[static_cast<size_t>(b)] != 0) {
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

}  // namespace

void bind_gated(py::module_& m) {
  m.def("kept_columns", &kept_columns, py::arg("x"), py::arg("keep"), py::arg("block_k"),
        py::arg("gather"),
        "x of shape (k,) in float32, with zeros in the blocks of columns whose `keep` is False, or"
        " without those when `gather`.");
}

}  // namespace qk::bind
