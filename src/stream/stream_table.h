// The streaming micro-kernels, as function pointers: one constant an ISA, beside its KernelTable.
//
// They multiply int8 weights by int8 activations into int32, exactly, and differ in how the weights
// lie in memory. Beneath them is one unit, a line of 64 bytes:
//
//   dotprod    rows one after another          a line is 64 columns of one row
//   dotprod4   the same, four rows at a time   a line is 64 columns of one row
//   dotprod4i  four rows, 16 bytes each in turn  a line is 16 columns of four rows
//   dotprod16i sixteen rows, 4 bytes each in turn  a line is 4 columns of sixteen rows
#pragma once

#include <cstdint>

namespace qk {

inline constexpr int kStreamLine = 64;
inline constexpr int kStreamBlock = 16;  // columns come in multiples of this
// What x is padded to: where a row ends within a line, the rest of it meets zeros.
inline constexpr int kStreamPadding = kStreamLine;

// kScalar is the reference (ops/stream.cpp), the others are kernels of every ISA.
enum class StreamKernel : uint8_t { kScalar, kDotprod, kDotprod4, kDotprod4i, kDotprod16i };
inline constexpr int kStreamKernels = 5;

struct StreamArgs {
  const uint8_t* weights;  // groups * rows of a group * depth signed bytes
  int64_t groups;          // of rows that lie together: 1, 4 or 16
  int64_t depth;           // columns, a multiple of kStreamBlock
  const int8_t* x;         // depth of them, and zeros up to a multiple of kStreamPadding
  int64_t x_sum;           // their sum
  int64_t ahead;           // bytes between what is read and what is prefetched; 0: nothing is
  int32_t* out;            // groups * rows of a group
};

using StreamFn = void (*)(const StreamArgs& args);

struct StreamKernels {
  StreamFn run[kStreamKernels];  // null for kScalar
};

}  // namespace qk
