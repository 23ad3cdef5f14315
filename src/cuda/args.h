// What kernels are called with: plain data, for sources that no device compiler sees, too.
#pragma once

#include <cstdint>

#include "cuda/activations.h"

namespace qk::cuda {

inline constexpr int kWarp = 32;
inline constexpr int kWarps = 4;  // of a block that multiplies
inline constexpr int kGemvThreads = kWarp * kWarps;
inline constexpr int kRows = 2;  // rows that a warp multiplies at once
// Blocks that a multiprocessor is to hold at once. 65536 registers are then 80 for each thread of a
// product with one batch row, 168 with four, 255 with eight; slices that take many, 128, 255, 255.
constexpr int blocks_at_once(int batch_rows, bool takes_many) {
  if (batch_rows == 1) return takes_many ? 4 : 6;
  return batch_rows == 4 && !takes_many ? 3 : 2;
}
inline constexpr int kActivateThreads = 1024;
inline constexpr int kDecodeThreads = 128;
inline constexpr int kElementThreads = 256;
inline constexpr int kNeighbours = 8;  // float weights that a lane reads at a time

enum class Layout : uint8_t { kNative, kPlanes };  // cuda/blocks.h
inline constexpr int kLayouts = 2;
inline constexpr int kMostPlanes = 3;

enum class Function : uint8_t { kNone, kSilu, kGelu, kGeluTanh, kGeluSigmoid };
enum class Type : uint8_t { kF32, kF16, kBF16 };

// A part of a block, and the plane that it goes to in a packed row, or kNotKept.
struct Field {
  int offset;  // in a block
  int bytes;
  int plane;
};
inline constexpr int kMostFields = 4;
inline constexpr int kNotKept = -1;

// Where each plane of a packed row begins.
struct Planes {
  int64_t at[kMostPlanes];
};

// What becomes of a product before it is stored.
struct Epilogue {
  void* y;
  int64_t y_stride;      // elements from a row of y to the next
  const float* bias;     // or null
  const float* up_bias;  // or null; of what a gate is multiplied with
  int64_t bias_stride;   // elements from a batch row's bias to the next, 0 where they share one
  int batch_rows;
  Type type;
  Function function;  // of the product, or of the gate
  bool gated;
};

struct GemvArgs {
  const uint8_t* weights;
  const uint8_t* up;  // with a gate, the rows that are not gates
  int64_t row_stride;
  Planes planes;
  int64_t n;
  int64_t blocks;  // a row; of float weights, the weights
  int warps_per_row;
  const uint8_t* activations;
  Epilogue epilogue;
};

struct ActivateArgs {
  const void* x;
  int64_t stride;  // elements from a row of x to the next
  int64_t k;
  int64_t units;
  int batch_rows;  // with a row of x
  Type type;
  uint8_t* out;
};

struct DecodeArgs {
  const uint8_t* weights;
  int64_t row_stride;
  Planes planes;
  int64_t n;
  int64_t k;
  int64_t blocks;  // a row
  void* out;
  int64_t out_stride;  // elements
  Type type;
};

struct ElementArgs {
  void* values;
  int64_t rows;
  int64_t columns;
  int64_t stride;    // elements from a row to the next
  const void* bias;  // of each column, or null
  Type type;
  Type bias_type;
  Function function;
};

}  // namespace qk::cuda
