// Attention and its cache for Python: arrays of heads in, checks, the GIL released, arrays out.
#include <atomic>
#include <mutex>
#include <optional>
#include <pybind11/numpy.h>
#include <pybind11/stl.h>  // IWYU pragma: keep (a scale or none)
#include <pybind11/typing.h>
#include <shared_mutex>
#include <string>

#include "bind/activations.h"
#include "bind/array.h"
#include "bind/attention_call.h"
#include "bind/bind.h"
#include "bind/errors.h"
#include "bind/fork_safe.h"
#include "bind/gil.h"
#include "bind/mapped.h"
#include "bind/sealed.h"
#include "bind/text.h"
#include "core/aligned.h"
#include "dispatch/dispatch.h"

namespace py = pybind11;

namespace qk::bind {
namespace {

py::object py_attention(py::handle q, py::handle k, py::handle v, std::optional<double> scale,
                        bool causal, py::handle out, int threads) {
  const KernelTable& kernels = current_kernels();
  AttentionCall call(q, scale);
  const Parallel parallel = parallel_of(threads, call.queries().is_torch);
  const HeldArray keys = hold_floats(k, "k");
  const HeldArray values = hold_floats(v, "v");
  HeadShape shape;
  raise_if_failed(check_heads(keys.view, "k", &shape));
  raise_if_failed(check_values(values.view, shape));
  raise_if_failed(check_attention(call.shape(), shape, causal));
  CacheView cache{.type = CacheType::kF32, .heads = shape.heads, .head_dim = shape.head_dim};
  const CacheBytes bytes(cache, shape.tokens);
  call.prepare(out, shape.head_dim, {&keys, &values});
  Scratch memory = Scratch::activations();
  bytes.place(memory.reserve(bytes.total), &cache);
  {
    const ReleasedGil unlocked;
    store_heads(parallel, kernels, cache, 0, keys.view, &values.view);
    attention(parallel, kernels, call.begin(), cache,
              first_query(call.shape().tokens, shape.tokens, causal), shape.tokens, call.scale());
    call.finish();
  }
  raise_if_cut(call.queries(), keys, values);
  return call.result();
}

py::object py_attention_scores(py::handle q, py::handle k, std::optional<double> scale, bool causal,
                               py::handle out, int threads) {
  const KernelTable& kernels = current_kernels();
  AttentionCall call(q, scale);
  const Parallel parallel = parallel_of(threads, call.queries().is_torch);
  const HeldArray keys = hold_floats(k, "k");
  HeadShape shape;
  raise_if_failed(check_heads(keys.view, "k", &shape));
  raise_if_failed(check_attention(call.shape(), shape, causal));
  CacheView cache{.type = CacheType::kF32, .heads = shape.heads, .head_dim = shape.head_dim};
  const CacheBytes bytes(cache, shape.tokens);
  call.prepare(out, shape.tokens, {&keys});
  Scratch memory = Scratch::activations();
  bytes.place(memory.reserve(bytes.total), &cache);
  {
    const ReleasedGil unlocked;
    store_heads(parallel, kernels, cache, 0, keys.view, nullptr);
    attention_scores(parallel, kernels, call.begin(), cache,
                     first_query(call.shape().tokens, shape.tokens, causal), shape.tokens,
                     call.scale());
    call.finish();
  }
  raise_if_cut(call.queries(), keys);
  return call.result();
}

CacheType cache_type(py::handle dtype) {
  const std::string name = str_argument(dtype, "dtype");
  if (name == "float16") return CacheType::kF16;
  if (name == "float32") return CacheType::kF32;
  throw py::value_error("dtype='" + name + "' is not one of float16, float32");
}

// Keys and values that grow by appending. Many may read at once; who changes it is alone, and waits
// without the GIL.
class KvCache {
 public:
  KvCache(int64_t heads, int64_t head_dim, int64_t capacity, py::handle dtype)
      : capacity_(capacity) {
    if (heads < 1 || capacity < 1) {
      throw py::value_error("a cache of " + std::to_string(heads) + " heads and " +
                            std::to_string(capacity) + " positions; each must be 1 or more");
    }
    cache_ = {.type = cache_type(dtype), .heads = heads, .head_dim = head_dim};
    const CacheBytes bytes(cache_, capacity);
    raise_if_failed(memory_.reserve(bytes.total));
    bytes.place(memory_.data(), &cache_);
  }

  void append(py::handle k, py::handle v, int threads) {
    const KernelTable& kernels = current_kernels();
    const HeldArray keys = hold_floats(k, "k");
    const Parallel parallel = parallel_of(threads, keys.is_torch);
    const HeldArray values = hold_floats(v, "v");
    HeadShape shape;
    raise_if_failed(check_heads(keys.view, "k", &shape));
    raise_if_failed(check_values(values.view, shape));
    if (shape.heads != cache_.heads || shape.head_dim != cache_.head_dim) {
      throw py::value_error("k has " + std::to_string(shape.heads) + " heads of " +
                            std::to_string(shape.head_dim) + " values, the cache " +
                            std::to_string(cache_.heads) + " of " +
                            std::to_string(cache_.head_dim));
    }
    Status status;
    {
      const ReleasedGil unlocked;
      const std::unique_lock lock(mutex_.here());
      const int64_t before = length_;
      status = add(parallel, kernels, shape.tokens, keys.view, values.view);
      if (status.ok()) status = not_cut(keys.view);
      if (status.ok()) status = not_cut(values.view);
      if (!status.ok()) length_ = before;
    }
    raise_if_failed(status);
  }

  void truncate(int64_t length) {
    Status status;
    {
      const ReleasedGil unlocked;
      const std::unique_lock lock(mutex_.here());
      if (length < 0 || length > length_) {
        status = Status::value_error("a length of %lld, the cache has %lld positions", ll(length),
                                     ll(length_.load()));
      } else {
        length_ = length;
      }
    }
    raise_if_failed(status);
  }

  py::object attend(py::handle q, std::optional<double> scale, bool causal, py::handle out,
                    int threads) {
    const KernelTable& kernels = current_kernels();
    AttentionCall call(q, scale);
    const Parallel parallel = parallel_of(threads, call.queries().is_torch);
    raise_if_failed(check_attention(call.shape(), shape(), causal));
    call.prepare(out, cache_.head_dim, {});
    Status status;
    {
      const ReleasedGil unlocked;
      const std::shared_lock lock(mutex_.here());
      status = check_attention(call.shape(), shape(), causal);  // it may have changed by now
      if (status.ok()) {
        const int64_t total = length_;
        attention(parallel, kernels, call.begin(), cache_,
                  first_query(call.shape().tokens, total, causal), total, call.scale());
        call.finish();
      }
    }
    raise_if_failed(status);
    raise_if_cut(call.queries());
    return call.result();
  }

  // Copies of the keys and values of all positions, float32 (heads, length, head_dim).
  py::typing::Tuple<py::array, py::array> contents() {
    for (;;) {
      const HeadShape now = shape();
      const int64_t extents[] = {now.heads, now.tokens, now.head_dim};
      py::array keys = new_float_array(extents, 3);
      py::array values = new_float_array(extents, 3);
      if (copy_to(static_cast<float*>(keys.mutable_data()),
                  static_cast<float*>(values.mutable_data()), now.tokens)) {
        return py::make_tuple(keys, values);
      }
    }
  }

  int64_t length() const { return length_; }
  int64_t capacity() const { return capacity_; }
  int64_t heads() const { return cache_.heads; }
  int64_t head_dim() const { return cache_.head_dim; }
  int64_t nbytes() const { return memory_.capacity(); }
  const char* dtype() const { return cache_.type == CacheType::kF16 ? "float16" : "float32"; }

 private:
  HeadShape shape() const { return {cache_.heads, length_, cache_.head_dim}; }

  // False where there are fewer positions by now.
  bool copy_to(float* keys, float* values, int64_t tokens) {
    const ReleasedGil unlocked;
    const std::shared_lock lock(mutex_.here());
    if (length_ < tokens) return false;
    for (int64_t head = 0; head < cache_.heads; ++head) {
      for (int64_t token = 0; token < tokens; ++token) {
        const int64_t at = (head * tokens + token) * cache_.head_dim;
        load_head(cache_, head, token, keys + at, values + at);
      }
    }
    return true;
  }

  Status add(const Parallel& parallel, const KernelTable& kernels, int64_t tokens,
             const ArrayView& k, const ArrayView& v) {
    const int64_t length = length_;
    if (tokens > capacity_ - length) {
      return Status::value_error("%lld + %lld positions exceed the cache's capacity of %lld",
                                 ll(length), ll(tokens), ll(capacity_));
    }
    store_heads(parallel, kernels, cache_, length, k, &v);
    length_ = length + tokens;
    return {};
  }

  CacheView cache_;
  AlignedBuffer memory_;
  int64_t capacity_;
  std::atomic<int64_t> length_ = 0;  // written with the lock held
  ForkSafe<std::shared_mutex> mutex_;
};

}  // namespace

void bind_attention(py::module_& m) {
  py::class_<KvCache>(m, "KVCache", "Keys and values of one layer, which grow by appending.")
      .def(py::init<int64_t, int64_t, int64_t, py::handle>(), py::arg("kv_heads"),
           py::arg("head_dim"), py::arg("capacity"), py::arg("dtype"))
      .def("append", &KvCache::append, py::arg("k"), py::arg("v"), py::arg("threads"),
           "Appends keys and values of shape (kv_heads, tokens, head_dim).")
      .def("truncate", &KvCache::truncate, py::arg("length"),
           "Forgets the positions from `length` on.")
      .def("attend", &KvCache::attend, py::arg("q"), py::arg("scale"), py::arg("causal"),
           py::arg("out"), py::arg("threads"), "Attention of queries (heads, m, head_dim).")
      .def("contents", &KvCache::contents, "Copies of its keys and values, in float32.")
      .def_property_readonly("length", &KvCache::length)
      .def_property_readonly("capacity", &KvCache::capacity)
      .def_property_readonly("kv_heads", &KvCache::heads)
      .def_property_readonly("head_dim", &KvCache::head_dim)
      .def_property_readonly("nbytes", &KvCache::nbytes)
      .def_property_readonly("dtype", &KvCache::dtype);
  seal<KvCache>();
  m.def("attention", &py_attention, py::arg("q"), py::arg("k"), py::arg("v"), py::arg("scale"),
        py::arg("causal"), py::arg("out"), py::arg("threads"),
        "softmax(scale * q @ k.T) @ v by heads.");
  m.def("attention_scores", &py_attention_scores, py::arg("q"), py::arg("k"), py::arg("scale"),
        py::arg("causal"), py::arg("out"), py::arg("threads"),
        "softmax(scale * q @ k.T) by heads.");
}

}  // namespace qk::bind
