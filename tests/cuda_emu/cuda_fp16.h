// binary16, as far as src/cuda uses it.
#pragma once

struct __half {
  unsigned short bits;
};

inline __half __ushort_as_half(unsigned short bits) { return {bits}; }
inline float __half2float(__half half) {
  return static_cast<float>(__builtin_bit_cast(_Float16, half.bits));
}
