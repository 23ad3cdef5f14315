// DLPack's tensor exchange structures, laid out as its specification (version 0.8) fixes them.
#pragma once

#include <cstdint>

namespace qk::bind::dlpack {

inline constexpr int32_t kCpu = 1;  // also what pinned host memory is not: that is device type 3

enum TypeCode : uint8_t { kInt = 0, kUInt = 1, kFloat = 2, kBfloat = 4 };

struct Device {
  int32_t type;
  int32_t id;
};

struct DataType {
  uint8_t code;
  uint8_t bits;
  uint16_t lanes;
};

struct Tensor {
  void* data;
  Device device;
  int32_t ndim;
  DataType dtype;
  int64_t* shape;
  int64_t* strides;  // in elements; null for C order
  uint64_t byte_offset;
};

struct ManagedTensor {
  Tensor tensor;
  void* manager_context;
  void (*deleter)(ManagedTensor* self);
};

}  // namespace qk::bind::dlpack
