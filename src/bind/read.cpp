// Passes that only read, for measurements.
#include "ops/read.h"

#include <pybind11/typing.h>
#include <string>

#include "bind/activations.h"
#include "bind/array.h"
#include "bind/bind.h"
#include "bind/errors.h"
#include "bind/gil.h"
#include "bind/mapped.h"
#include "bind/text.h"
#include "core/array.h"

namespace py = pybind11;

namespace qk::bind {
namespace {

ReadVariant variant_of(py::handle variant) {
  ReadVariant parsed{};
  raise_if_failed(parse_read_variant(str_argument(variant, "variant").c_str(), &parsed));
  return parsed;
}

// The bytes of an array whose elements lie one after another.
int64_t contiguous_bytes(const ArrayView& view) {
  if (view.type != ScalarType::kU8) {
    throw py::type_error(std::string("data has dtype ") + type_name(view.type) +
                         "; expected uint8");
  }
  int64_t bytes = 1;
  for (int d = view.ndim - 1; d >= 0; --d) {
    if (view.shape[d] == 0) return 0;
    if (view.shape[d] != 1 && view.strides[d] != bytes) {
      throw py::value_error("data has a stride of " + std::to_string(view.strides[d]) +
                            " bytes in dimension " + std::to_string(d) + "; C order has " +
                            std::to_string(bytes));
    }
    bytes *= view.shape[d];
  }
  return bytes;
}

uint64_t py_read_pass(py::handle data, py::handle variant, int threads) {
  const HeldArray held = hold_array(data, "data");
  const int64_t size = contiguous_bytes(held.view);
  const ReadVariant parsed = variant_of(variant);
  const Parallel parallel = parallel_of(threads);
  uint64_t sum = 0;
  {
    const ReleasedGil unlocked;
    sum = read_pass(parallel, static_cast<const uint8_t*>(held.view.data), size, parsed);
  }
  raise_if_cut(held.view);
  return sum;
}

py::typing::List<py::str> variants() {
  py::typing::List<py::str> names;
  for (int i = 0; i < kReadVariants; ++i) {
    names.append(read_variant_name(static_cast<ReadVariant>(i)));
  }
  return names;
}

}  // namespace

// NOLINTNEXTLINE(misc-const-correctness): every part of the module has this signature
void bind_read(py::module_& m) {
  m.def("read_variants", &variants, "The names of the ways in which `read_pass` walks.");
  m.def("read_pass", &py_read_pass, py::arg("data"), py::arg("variant"), py::arg("threads"),
        "Reads uint8 data once and returns the sum modulo 2^64 of its 64-bit words, the last one\n"
        "completed with zero bytes.");
}

}  // namespace qk::bind
