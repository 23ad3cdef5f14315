#include "bind/mapped.h"

#include <pybind11/numpy.h>

#include "bind/bind.h"
#include "core/array.h"

namespace py = pybind11;

namespace qk::bind {

Status not_cut(const ArrayView& array) {
  if (!some_range_was_cut.load(std::memory_order_relaxed)) return {};
  const ByteSpan span = touched(array);
  return check_mapped(span.begin, span.end);
}

void check_pages(const ArrayView& array) { raise_if_failed(not_cut(array)); }

void check_pages(const HeldArray& held) { check_pages(held.view); }

void check_pages(const std::optional<HeldArray>& held) {
  if (held) check_pages(held->view);
}

void check_pages(const Weights& weights) { check_pages(bytes_of(weights)); }

namespace {

// Of any dtype.
void check_array(const py::array& data) {
  if (!some_range_was_cut.load(std::memory_order_relaxed) || data.size() == 0) return;
  const auto* begin = static_cast<const uint8_t*>(data.data());
  const uint8_t* end = begin + data.itemsize();
  for (py::ssize_t d = 0; d < data.ndim(); ++d) {
    const int64_t reach = (data.shape(d) - 1) * data.strides(d);
    (reach < 0 ? begin : end) += reach;
  }
  raise_if_failed(check_mapped(begin, end));
}

}  // namespace

void bind_mapped(py::module_& m) {
  m.def(
      "check_mapped", &check_array, py::arg("data"),
      "ValueError where memory of an array has been cut off the file that it is mapped from: what\n"
      "was read there since were zeros.");
}

}  // namespace qk::bind
