// DLPack's tensor exchange structures, laid out as its specification (version 1.0) fixes them, and
// arrays that come in them.
#pragma once

#include <cstdint>
#include <string>

#include "bind/array.h"

namespace qk::bind {
namespace dlpack {

inline constexpr int32_t kCpu = 1;  // also what pinned host memory is not: that is device type 3
inline constexpr uint32_t kMajor = 1;
inline constexpr uint64_t kReadOnly = 1;  // a flag of versioned tensors

enum TypeCode : uint8_t { kInt = 0, kUInt = 1, kFloat = 2, kBfloat = 4, kBool = 6 };

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

struct ManagedTensor {  // in a capsule named "dltensor"
  Tensor tensor;
  void* manager_context;
  void (*deleter)(ManagedTensor* self);
};

struct Version {
  uint32_t major;
  uint32_t minor;
};

struct VersionedTensor {  // in a capsule named "dltensor_versioned"
  Version version;
  void* manager_context;
  void (*deleter)(VersionedTensor* self);
  uint64_t flags;
  Tensor tensor;
};

}  // namespace dlpack

// An array that came by DLPack, and what NumPy calls its dtype, such as "i4": ArrayView knows only
// some. Writable only where a versioned tensor says so.
struct DlpackArray {
  HeldArray held;
  std::string dtype;  // empty where NumPy has none
};

// The tensor of an object that has `__dlpack__`. TypeError for one that is malformed.
DlpackArray hold_dlpack(pybind11::handle object, const char* what);

}  // namespace qk::bind
