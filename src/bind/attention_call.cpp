#include "bind/attention_call.h"

#include <cmath>
#include <string>

#include "bind/errors.h"
#include "core/array.h"
#include "core/checked.h"
#include "core/fp_environment.h"

namespace py = pybind11;

namespace qk::bind {
namespace {

// The heads of an array as attention reads and writes them: where they lie, or null where they
// have to be converted.
struct PlainHeads {
  explicit PlainHeads(const ArrayView& array) {
    const bool aligned = reinterpret_cast<uintptr_t>(array.data) % alignof(float) == 0 &&
                         array.strides[0] % 4 == 0 && array.strides[1] % 4 == 0;
    if (array.type != ScalarType::kF32 || !has_contiguous_rows(array) || !aligned) return;
    data = static_cast<float*>(array.data);
    head = array.strides[0] / 4;
    token = array.strides[1] / 4;
  }
  PlainHeads(float* rows, const HeadShape& shape)
      : data(rows), head(shape.tokens * shape.head_dim), token(shape.head_dim) {}

  float* data = nullptr;
  int64_t head = 0;
  int64_t token = 0;
};

}  // namespace

CacheBytes::CacheBytes(const CacheView& cache, int64_t positions) {
  int64_t values = 0;
  raise_if_failed(cache_bytes(cache.type, cache.heads, cache.head_dim, positions, &keys, &values));
  if (!checked_round_up(keys, kCacheLine, &keys) || !checked_add(keys, values, &total)) {
    throw py::value_error("a cache of " + std::to_string(positions) +
                          " positions passes 2^63 bytes");
  }
}

void CacheBytes::place(std::byte* memory, CacheView* cache) const {
  cache->keys = memory;
  cache->values = memory + keys;
}

AttentionCall::AttentionCall(py::handle q, std::optional<double> scale) : q_(hold_floats(q, "q")) {
  raise_if_failed(check_heads(q_.view, "q", &shape_));
  const FpEnvironment environment;
  const double usual = 1.0 / std::sqrt(static_cast<double>(shape_.head_dim));
  const double asked = scale.value_or(usual);
  scale_ = static_cast<float>(asked);
  if (!std::isfinite(scale_)) {
    throw py::value_error("scale=" + py::cast<std::string>(py::str(py::float_(asked))) +
                          " is not a finite float32");
  }
}

void AttentionCall::prepare(py::handle out, int64_t width,
                            std::initializer_list<const HeldArray*> inputs) {
  result_shape_ = {shape_.heads, shape_.tokens, width};
  output_ = prepare_output(out, {shape_.heads, shape_.tokens, width}, q_.is_torch);
  if (!out.is_none()) {
    refuse_overlap(output_.held, q_.view, "q");
    const char* what = "k";
    for (const HeldArray* input : inputs) {
      refuse_overlap(output_.held, input->view, what);
      what = "v";
    }
  }
  const int64_t rows = shape_.heads * shape_.tokens;
  q_at_ = floats_.add(PlainHeads(q_.view).data == nullptr ? rows : 0, shape_.head_dim);
  out_at_ = floats_.add(PlainHeads(output_.held.view).data == nullptr ? rows : 0, width);
  floats_.reserve();
}

HeadRows AttentionCall::begin() {
  const int64_t rows = shape_.heads * shape_.tokens;
  PlainHeads q(q_.view);
  if (q.data == nullptr) {
    q = PlainHeads(floats_.at(q_at_), shape_);
    for (int64_t row = 0; row < rows; ++row) {
      load_floats(row_address(q_.view, row), q_.view.strides[2], q_.view.type, shape_.head_dim,
                  q.data + row * shape_.head_dim);
    }
  }
  PlainHeads out(output_.held.view);
  if (out.data == nullptr) out = PlainHeads(floats_.at(out_at_), result_shape_);
  return {.q = q.data,
          .out = out.data,
          .heads = shape_.heads,
          .tokens = shape_.tokens,
          .q_token = q.token,
          .q_head = q.head,
          .out_token = out.token,
          .out_head = out.head};
}

void AttentionCall::finish() const {
  const ArrayView& out = output_.held.view;
  if (PlainHeads(out).data != nullptr) return;
  copy_out(floats_.at(out_at_), shape_.heads * shape_.tokens, result_shape_.head_dim, out);
}

}  // namespace qk::bind
