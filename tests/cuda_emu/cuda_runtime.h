// The part of CUDA that src/cuda is written in, on a host without a device: for tests.
//
// Kernel sources include <cuda_runtime.h>; where this directory comes first among the include
// directories, they compile with a C++ compiler as they are. A launch runs at once, a block after
// the other, on one thread: every CUDA thread is a fiber (emulator.h), which runs until it meets
// others at a barrier or a shuffle.
#pragma once

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <source_location>

#define __CUDA_ARCH__ 900
#define __global__
#define __device__
#define __host__
#define __constant__
#define __forceinline__ inline __attribute__((always_inline))
#define __launch_bounds__(...)
// One object for all blocks, as they run one after another, where the emulator can find it.
#define __shared__ static __attribute__((section("cuda_shared")))

struct uint3 {
  unsigned x, y, z;
};
struct dim3 {
  unsigned x, y, z;
  constexpr dim3(unsigned a = 1, unsigned b = 1, unsigned c = 1) : x(a), y(b), z(c) {}
};
struct alignas(8) int2 {
  int x, y;
};
struct alignas(16) int4 {
  int x, y, z, w;
};
struct alignas(8) uint2 {
  unsigned x, y;
};
struct alignas(16) uint4 {
  unsigned x, y, z, w;
};
struct alignas(8) float2 {
  float x, y;
};
struct alignas(16) float4 {
  float x, y, z, w;
};

inline constexpr int warpSize = 32;
extern uint3 threadIdx;
extern uint3 blockIdx;
extern dim3 blockDim;
extern dim3 gridDim;

namespace cuda_emu {

using Site = std::source_location;

void barrier(Site site);
uint64_t exchange(const char* what, unsigned mask, uint64_t value, int from, Site site);
unsigned vote(unsigned mask, bool predicate, Site site);
void note_load(const void* address, size_t bytes);
[[noreturn]] void fault(const char* format, ...) __attribute__((format(printf, 1, 2)));
extern bool recording;

inline int lane() { return static_cast<int>(threadIdx.x % 32); }

template <class T>
T exchanged(const char* what, unsigned mask, T value, int from, Site site) {
  static_assert(sizeof(T) <= sizeof(uint64_t));
  uint64_t bits = 0;
  std::memcpy(&bits, &value, sizeof(T));
  bits = exchange(what, mask, bits, from, site);
  std::memcpy(&value, &bits, sizeof(T));
  return value;
}

}  // namespace cuda_emu

inline void __syncthreads(cuda_emu::Site site = cuda_emu::Site::current()) {
  cuda_emu::barrier(site);
}
inline void __syncwarp(unsigned mask = 0xffffffffu,
                       cuda_emu::Site site = cuda_emu::Site::current()) {
  cuda_emu::exchange("__syncwarp", mask, 0, cuda_emu::lane(), site);
}
template <class T>
T __shfl_sync(unsigned mask, T value, int from, int width = 32,
              cuda_emu::Site site = cuda_emu::Site::current()) {
  const int first = cuda_emu::lane() / width * width;
  return cuda_emu::exchanged("__shfl_sync", mask, value, first + from % width, site);
}
template <class T>
T __shfl_xor_sync(unsigned mask, T value, int lanes, int width = 32,
                  cuda_emu::Site site = cuda_emu::Site::current()) {
  const int from = cuda_emu::lane() ^ lanes;
  const bool outside = from / width > cuda_emu::lane() / width;
  return cuda_emu::exchanged("__shfl_xor_sync", mask, value, outside ? cuda_emu::lane() : from,
                             site);
}
template <class T>
T __shfl_down_sync(unsigned mask, T value, unsigned lanes, int width = 32,
                   cuda_emu::Site site = cuda_emu::Site::current()) {
  const int lane = cuda_emu::lane();
  const int from =
      lane % width + static_cast<int>(lanes) < width ? lane + static_cast<int>(lanes) : lane;
  return cuda_emu::exchanged("__shfl_down_sync", mask, value, from, site);
}
inline unsigned __ballot_sync(unsigned mask, int predicate,
                              cuda_emu::Site site = cuda_emu::Site::current()) {
  return cuda_emu::vote(mask, predicate != 0, site);
}

// A load of weights: kernels read them, and nothing else, through this one.
template <class T>
__forceinline__ T __ldg(const T* from) {
  if (reinterpret_cast<uintptr_t>(from) % alignof(T) != 0) {
    cuda_emu::fault("a load of %zu bytes from %p, which is not aligned to %zu", sizeof(T),
                    static_cast<const void*>(from), alignof(T));
  }
  if (cuda_emu::recording) cuda_emu::note_load(from, sizeof(T));
  return *from;
}

inline int __dp4a(int a, int b, int c) {
  for (int i = 0; i < 32; i += 8) {
    c += static_cast<int8_t>(a >> i) * static_cast<int8_t>(b >> i);
  }
  return c;
}

// Bytes of b:a, a's lowest first, picked by the nibbles of the selector; bit 3 of one asks for the
// byte's sign instead.
inline unsigned __byte_perm(unsigned a, unsigned b, unsigned selector) {
  const uint64_t bytes = a | static_cast<uint64_t>(b) << 32;
  unsigned result = 0;
  for (unsigned i = 0; i < 4; ++i) {
    const unsigned pick = selector >> (4 * i) & 15;
    auto byte = static_cast<uint8_t>(bytes >> (8 * (pick & 7)));
    if ((pick & 8) != 0) byte = byte >= 128 ? 255 : 0;
    result |= static_cast<unsigned>(byte) << (8 * i);
  }
  return result;
}

inline float __fmaf_rn(float a, float b, float c) { return std::fma(a, b, c); }
inline float __fmul_rn(float a, float b) { return a * b; }
inline float __fadd_rn(float a, float b) { return a + b; }
inline unsigned __float_as_uint(float value) { return __builtin_bit_cast(unsigned, value); }
inline float __uint_as_float(unsigned bits) { return __builtin_bit_cast(float, bits); }
inline int __float2int_rn(float value) { return static_cast<int>(std::nearbyint(value)); }

// Launches run one after the other, so that a kernel never starts before the one before it is done.
inline void cudaGridDependencySynchronize() {}
inline void cudaTriggerProgrammaticLaunchCompletion() {}

#include "cuda_host_api.h"
