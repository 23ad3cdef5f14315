#include "bind/operands.h"

#include <pybind11/stl.h>  // IWYU pragma: keep (shapes as tuples)
#include <stdexcept>
#include <string>

#include "bind/errors.h"
#include "bind/torch_tensor.h"
#include "core/array.h"
#include "core/checked.h"
#include "ops/shapes.h"

namespace py = pybind11;

namespace qk::bind {
namespace {

thread_local Scratch::Buffer activation_buffer;
thread_local Scratch::Buffer float_buffer;

}  // namespace

Scratch Scratch::activations() { return Scratch(activation_buffer); }

Scratch Scratch::floats() { return Scratch(float_buffer); }

std::byte* Scratch::reserve(int64_t bytes) {
  if (buffer_.in_use) throw std::logic_error("scratch memory of this thread is in use");
  buffer_.in_use = is_reserved_ = true;
  raise_if_failed(buffer_.memory.reserve(bytes));
  return buffer_.memory.data();
}

int64_t FloatArrays::add(int64_t rows, int64_t width) {
  constexpr int64_t kLine = kCacheLine / static_cast<int64_t>(sizeof(float));
  const int64_t place = floats_;
  int64_t count = 0;
  int64_t bytes = 0;
  if (!checked_mul(rows, width, &count) || !checked_round_up(count, kLine, &count) ||
      !checked_add(floats_, count, &floats_) || !checked_mul(floats_, 4, &bytes)) {
    throw py::value_error(std::to_string(rows) + " rows of " + std::to_string(width) +
                          " floats pass 2^63 bytes");
  }
  return place;
}

void FloatArrays::reserve() { memory_ = reinterpret_cast<float*>(scratch_.reserve(floats_ * 4)); }

std::optional<HeldArray> read_bias(py::handle bias, int64_t n) {
  if (bias.is_none()) return std::nullopt;
  HeldArray held = hold_floats(bias, "bias");
  raise_if_failed(check_bias(held.view, n));
  return held;
}

Output prepare_output(py::handle out, const std::vector<int64_t>& shape, bool torch) {
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
    output.is_torch = torch;
  } else {
    output.object = py::reinterpret_borrow<py::object>(out);
    output.held = hold_out(out);
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

py::object Output::result() const {
  if (is_torch) return as_tensor(object);
  if (held.is_torch) count_write(object);
  return object;
}

void copy_out(const float* result, int64_t m, int64_t n, const ArrayView& out) {
  const int64_t stride = out.strides[out.ndim - 1];
  for (int64_t row = 0; row < m; ++row) {
    store_floats(result + row * n, n, row_address(out, row), stride, out.type);
  }
}

}  // namespace qk::bind
