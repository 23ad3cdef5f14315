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
enum class Device : uint8_t { kCpu };

inline constexpr int kLayouts = 2;

// Quantised weights: `experts` matrices of n rows, each row ceil(k / block) blocks. A plain
// matrix has experts == 1. Strides are in bytes and never negative.
struct WeightView {
  const uint8_t* data = nullptr;
  int64_t experts = 1;
  int64_t expert_stride = 0;
  int64_t n = 0;
  int64_t k = 0;
  int64_t row_stride = 0;
  int format = 0;  // an index into the format list
  Layout layout = Layout::kNative;
  Device device = Device::kCpu;
};

}  // namespace qk
