// Plain views that the operators take: they own nothing and point into a caller's memory.
#pragma once

#include <cstdint>

namespace qk {

// Element types of dense arrays.
enum class ScalarType : uint8_t { kF32, kF16, kBF16, kF64, kU8, kI8, kI16, kI32, kI64, kOther };

inline constexpr int kMaxDims = 8;

// A dense array. Strides are in bytes and may be negative or zero.
struct ArrayView {
  void* data = nullptr;
  ScalarType type = ScalarType::kOther;
  bool writable = false;
  int ndim = 0;
  int64_t shape[kMaxDims] = {};
  int64_t strides[kMaxDims] = {};
};

enum class Layout : uint8_t {
  kNative,  // the GGUF bytes as they lie in the file
  kPanels,  // the blocks of some rows side by side: formats/panel.h
};

inline constexpr int kLayouts = 2;

inline constexpr int kMaxStackDims = kMaxDims - 2;

// Quantised weights of `ndim` dimensions: a matrix of n rows, each row ceil(k / block) blocks; a
// vector, which is one row; or a stack of matrices, with the shape and strides of its dimensions
// before n and k. Strides are in bytes and never negative, but may be zero.
struct WeightView {
  const uint8_t* data = nullptr;
  int ndim = 2;
  int64_t experts = 1;  // matrices: the product of stack_shape
  int64_t stack_shape[kMaxStackDims] = {};
  int64_t stack_strides[kMaxStackDims] = {};
  int64_t n = 0;
  int64_t k = 0;
  int64_t row_stride = 0;
  int format = 0;  // an index into the format list
  Layout layout = Layout::kNative;
};

}  // namespace qk
