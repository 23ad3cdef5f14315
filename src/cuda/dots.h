// Products of 16 weights with 16 activations, by how the activations are held.
#pragma once

#include <cstdint>

#include "cuda/activations.h"
#include "cuda/device.h"

namespace qk::cuda {

// X: sixteen activations, read from where their first lies (of int16: their first high byte). Dots:
// a sum of products with them; add<h> adds those of its h-th eight.
template <Act A>
struct Dots;

template <>
struct Dots<Act::kInt8> {
  struct X {
    int4 v;
    QK_DEVICE explicit X(const uint8_t* at) : v(*reinterpret_cast<const int4*>(at)) {}
  };
  int sum = 0;  // of at most 32 products of 7 + 7 bits, 15 times that with octets' scales

  template <int kHalf>
  QK_DEVICE void add(const uint32_t (&quads)[4], const X& x) {
    sum = __dp4a(static_cast<int>(quads[2 * kHalf]), kHalf == 0 ? x.v.x : x.v.z, sum);
    sum = __dp4a(static_cast<int>(quads[2 * kHalf + 1]), kHalf == 0 ? x.v.y : x.v.w, sum);
  }
  QK_DEVICE void scale_by(int factor) { sum *= factor; }
  QK_DEVICE void add(const Dots& other) { sum += other.sum; }
  QK_DEVICE float value() const { return static_cast<float>(sum); }
  QK_DEVICE float times(int scale) const { return static_cast<float>(scale * sum); }
  QK_DEVICE float times(float scale) const { return scale * static_cast<float>(sum); }
};

template <>
struct Dots<Act::kInt16> {
  struct X {
    int4 high;
    int4 low;
    QK_DEVICE explicit X(const uint8_t* at)
        : high(*reinterpret_cast<const int4*>(at)), low(*reinterpret_cast<const int4*>(at + 256)) {}
  };
  int high = 0;
  int low = 0;

  template <int kHalf>
  QK_DEVICE void add(const uint32_t (&quads)[4], const X& x) {
    const auto first = static_cast<int>(quads[2 * kHalf]);
    const auto second = static_cast<int>(quads[2 * kHalf + 1]);
    high = __dp4a(first, kHalf == 0 ? x.high.x : x.high.z, high);
    low = __dp4a(first, kHalf == 0 ? x.low.x : x.low.z, low);
    high = __dp4a(second, kHalf == 0 ? x.high.y : x.high.w, high);
    low = __dp4a(second, kHalf == 0 ? x.low.y : x.low.w, low);
  }
  QK_DEVICE void scale_by(int factor) {
    high *= factor;
    low *= factor;
  }
  QK_DEVICE void add(const Dots& other) {
    high += other.high;
    low += other.low;
  }
  // At most 32 * 128 * 32639, or 15 times that: 2.005e9, which is less than 2^31.
  QK_DEVICE int sum() const { return 256 * high + low; }
  QK_DEVICE float value() const { return static_cast<float>(sum()); }
  QK_DEVICE float times(int scale) const { return static_cast<float>(scale * sum()); }
  QK_DEVICE float times(float scale) const { return scale * static_cast<float>(sum()); }
};

template <>
struct Dots<Act::kFloat32> {
  struct X {
    float4 v[4];
    QK_DEVICE explicit X(const uint8_t* at) {
      QK_UNROLL_ALL
      for (int i = 0; i < 4; ++i) v[i] = reinterpret_cast<const float4*>(at)[i];
    }
  };
  float sum = 0.0f;

  template <int kHalf>
  QK_DEVICE void add(const uint32_t (&quads)[4], const X& x) {
    QK_UNROLL_ALL
    for (int q = 2 * kHalf; q < 2 * kHalf + 2; ++q) {
      sum = __fmaf_rn(signed_byte(quads[q], 0), x.v[q].x, sum);
      sum = __fmaf_rn(signed_byte(quads[q], 1), x.v[q].y, sum);
      sum = __fmaf_rn(signed_byte(quads[q], 2), x.v[q].z, sum);
      sum = __fmaf_rn(signed_byte(quads[q], 3), x.v[q].w, sum);
    }
  }
  QK_DEVICE void scale_by(int factor) { sum *= static_cast<float>(factor); }
  QK_DEVICE void add(const Dots& other) { sum += other.sum; }
  QK_DEVICE float value() const { return sum; }
  QK_DEVICE float times(int scale) const { return static_cast<float>(scale) * sum; }
  QK_DEVICE float times(float scale) const { return scale * sum; }
};

}  // namespace qk::cuda
