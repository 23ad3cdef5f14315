// What operators take and return: scratch memory, optional vectors, results in `out` or a new
// array.
#pragma once

#include <optional>
#include <pybind11/pybind11.h>
#include <vector>

#include "bind/array.h"
#include "core/aligned.h"
#include "core/views.h"

namespace qk::bind {

// Scratch of this thread, kept between calls unless it grew large. Of each kind one at a time: from
// its reserve() to its end no Python code may run, which could call for the same memory.
class Scratch {
 public:
  static Scratch activations();
  static Scratch floats();
  ~Scratch() {
    if (!is_reserved_) return;
    if (buffer_.memory.capacity() > kKeep) buffer_.memory.release();
    buffer_.in_use = false;
  }
  Scratch(const Scratch&) = delete;
  Scratch& operator=(const Scratch&) = delete;

  // Once. MemoryError where there is not as much; RuntimeError where the memory is in use.
  std::byte* reserve(int64_t bytes);

  struct Buffer {
    AlignedBuffer memory;
    bool in_use = false;
  };

 private:
  explicit Scratch(Buffer& buffer) : buffer_(buffer) {}

  static constexpr int64_t kKeep = 4 << 20;
  Buffer& buffer_;
  bool is_reserved_ = false;
};

// Arrays of floats in scratch: first all are asked for, then there is memory, then they lie there.
class FloatArrays {
 public:
  // Room for rows * width floats; what at() finds it by. ValueError where it passes 2^63 bytes.
  int64_t add(int64_t rows, int64_t width);
  void reserve();
  float* at(int64_t place) const { return memory_ + place; }

 private:
  Scratch scratch_ = Scratch::floats();
  float* memory_ = nullptr;
  int64_t floats_ = 0;
};

// A bias of shape (n,), or nothing for None.
std::optional<HeldArray> read_bias(pybind11::handle bias, int64_t n);

// Where results go: straight into `out`, or into float scratch that is then copied there.
struct Output {
  pybind11::object object;
  HeldArray held;
  bool is_torch = false;    // a new array is to be returned as a tensor
  float* direct = nullptr;  // null where the result has to be converted
  int64_t stride = 0;       // floats between batch rows, for `direct`

  // What the call returns, once all is written.
  pybind11::object result() const;
};

// `out`, which has to be of this shape, or where it is None a new array, or tensor for `torch`.
Output prepare_output(pybind11::handle out, const std::vector<int64_t>& shape, bool torch);

// m rows of n floats into `out`, whatever its type and strides.
void copy_out(const float* result, int64_t m, int64_t n, const ArrayView& out);

}  // namespace qk::bind
