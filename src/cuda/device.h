// What kernels ask of the device by name: loads of weights, bytes moved about, sums over a warp.
//
// Kernel sources include no more of CUDA than this header does, and use no inline assembly: a host
// that emulates the execution model has headers of the same names, and compiles the same files.
#pragma once

#include <cstdint>
#include <cuda_fp16.h>
#include <cuda_runtime.h>

#include "core/half.h"
#include "core/macros.h"
#include "cuda/args.h"

namespace qk::cuda {

#define QK_DEVICE __device__ __forceinline__
#if defined(__CUDACC__)
#define QK_UNROLL_ALL QK_PRAGMA(unroll)
#define QK_UNROLL_NONE QK_PRAGMA(unroll 1)
#else
#define QK_UNROLL_ALL
#define QK_UNROLL_NONE
#endif

inline constexpr unsigned kAllLanes = 0xffffffffu;

QK_DEVICE float half_of(uint32_t bits) {
  return __half2float(__ushort_as_half(static_cast<unsigned short>(bits)));
}
QK_DEVICE float signed_byte(uint32_t word, int byte) {
  return static_cast<float>(static_cast<int8_t>(word >> (8 * byte)));
}
QK_DEVICE float unsigned_byte(uint32_t word, int byte) {
  return static_cast<float>(static_cast<uint8_t>(word >> (8 * byte)));
}

// Reads kWords words of weights in the widest loads that kAlign, the alignment of p, allows.
template <int kAlign, int kWords>
QK_DEVICE void load_words(const uint8_t* p, uint32_t* out) {
  if constexpr (kAlign >= 16 && kWords % 4 == 0) {
    QK_UNROLL_ALL
    for (int i = 0; i < kWords; i += 4) {
      const uint4 four = __ldg(reinterpret_cast<const uint4*>(p + 4 * i));
      out[i] = four.x;
      out[i + 1] = four.y;
      out[i + 2] = four.z;
      out[i + 3] = four.w;
    }
  } else if constexpr (kAlign >= 8 && kWords % 2 == 0) {
    QK_UNROLL_ALL
    for (int i = 0; i < kWords; i += 2) {
      const uint2 two = __ldg(reinterpret_cast<const uint2*>(p + 4 * i));
      out[i] = two.x;
      out[i + 1] = two.y;
    }
  } else if constexpr (kAlign >= 4) {
    QK_UNROLL_ALL
    for (int i = 0; i < kWords; ++i) out[i] = __ldg(reinterpret_cast<const unsigned*>(p + 4 * i));
  } else if constexpr (kAlign >= 2) {
    QK_UNROLL_ALL
    for (int i = 0; i < kWords; ++i) {
      const uint32_t low = __ldg(reinterpret_cast<const unsigned short*>(p + 4 * i));
      const uint32_t high = __ldg(reinterpret_cast<const unsigned short*>(p + 4 * i + 2));
      out[i] = low | high << 16;
    }
  } else {
    QK_UNROLL_ALL
    for (int i = 0; i < kWords; ++i) {
      out[i] = 0;
      QK_UNROLL_ALL
      for (int j = 0; j < 4; ++j) {
        out[i] |= static_cast<uint32_t>(__ldg(p + 4 * i + j)) << (8 * j);
      }
    }
  }
}

template <int kAlign>
QK_DEVICE uint32_t load_half(const uint8_t* p) {
  if constexpr (kAlign >= 2) return __ldg(reinterpret_cast<const unsigned short*>(p));
  return __ldg(p) | static_cast<uint32_t>(__ldg(p + 1)) << 8;
}

// A kernel that is launched while the one before it still runs reads nothing of what that one
// writes until it has waited; the one before says when its successor may start. Devices before 9.0
// run one after the other.
#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ >= 900
QK_DEVICE void wait_for_kernel_before() { cudaGridDependencySynchronize(); }
QK_DEVICE void let_next_kernel_start() { cudaTriggerProgrammaticLaunchCompletion(); }
#else
QK_DEVICE void wait_for_kernel_before() {}
QK_DEVICE void let_next_kernel_start() {}
#endif

// The same sum in every lane, in an order that does not depend on what the lanes hold.
QK_DEVICE float warp_sum(float value) {
  QK_UNROLL_ALL
  for (int lanes = kWarp / 2; lanes > 0; lanes /= 2) {
    value += __shfl_xor_sync(kAllLanes, value, lanes);
  }
  return value;
}

}  // namespace qk::cuda
