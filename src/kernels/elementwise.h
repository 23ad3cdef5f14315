// Norms, gates and conversions of float vectors, in the kernels' idioms.
#pragma once

#include <cstdint>
#include <numbers>

#include "core/half.h"
#include "core/macros.h"

namespace qk::QK_ISA {
namespace {

// e^x for x <= 88: relative error below 2e-7, 1.2e-38 for what is smaller than that, NaN for NaN.
//
// x = n ln 2 + r with n whole and |r| <= ln 2 / 2: adding 1.5 * 2^23 to x / ln 2 leaves n in the
// low bits of the sum, to be shifted into an exponent; e^r is its Taylor series to r^6 (the rest is
// below 0.35^7 / 7! = 1.3e-7). ln 2 is subtracted in two parts, of which the first, 355 / 512, has
// 9 bits and is exact times n.
template <class I>
QK_INLINE typename I::Floats exponential(typename I::Floats x) {
  x = I::fmax(I::broadcast(-87.33654f), x);
  const auto shift = I::broadcast(12582912.0f);
  const auto shifted = I::fma(x, I::broadcast(std::numbers::log2e_v<float>), shift);
  const auto n = I::add(shifted, I::negate(shift));
  auto r = I::fma(n, I::broadcast(-355.0f / 512), x);
  r = I::fma(n, I::broadcast(2.12194440e-4f), r);
  auto p = I::broadcast(1.0f / 720);
  p = I::fma(p, r, I::broadcast(1.0f / 120));
  p = I::fma(p, r, I::broadcast(1.0f / 24));
  p = I::fma(p, r, I::broadcast(1.0f / 6));
  p = I::fma(p, r, I::broadcast(0.5f));
  p = I::fma(p, r, I::broadcast(1.0f));
  p = I::fma(p, r, I::broadcast(1.0f));
  const auto power = I::shift_left(I::add_bits(I::bits_of(shifted), 127), 23);
  return I::fmul(p, I::as_floats(power));
}

// g / (1 + e^-g), for g below -87 that of -87: -1.4e-36, where e^-g would pass the floats.
template <class I>
QK_INLINE typename I::Floats silu(typename I::Floats g) {
  const auto bounded = I::fmax(I::broadcast(-87.0f), g);
  return I::fdiv(bounded, I::add(I::broadcast(1.0f), exponential<I>(I::negate(bounded))));
}

// The last, partial vector of an array goes by way of a buffer, zero past its end.
template <class I>
struct Tail {
  alignas(64) float values[I::kLanes] = {};

  QK_INLINE typename I::Floats load(const float* p, int64_t count) {
    for (int64_t i = 0; i < count; ++i) values[i] = p[i];
    return I::load(values);
  }
  QK_INLINE void store(typename I::Floats v, int64_t count, float* out) {
    I::store(values, v);
    for (int64_t i = 0; i < count; ++i) out[i] = values[i];
  }
};

template <class I>
float sum_squares(const float* x, int64_t count) {
  constexpr int64_t kLanes = I::kLanes;
  auto even = I::zero();
  auto odd = I::zero();
  int64_t i = 0;
  for (; i + 2 * kLanes <= count; i += 2 * kLanes) {
    const auto a = I::load(x + i);
    const auto b = I::load(x + i + kLanes);
    even = I::fma(a, a, even);
    odd = I::fma(b, b, odd);
  }
  float rest = 0.0f;
  for (; i < count; ++i) rest += x[i] * x[i];
  return I::sum(I::add(even, odd)) + rest;
}

template <class I>
void normalise(const float* x, float factor, const float* gains, int64_t count, float* out) {
  constexpr int64_t kLanes = I::kLanes;
  const auto factors = I::broadcast(factor);
  int64_t i = 0;
  for (; i + kLanes <= count; i += kLanes) {
    I::store(out + i, I::fmul(I::fmul(I::load(x + i), factors), I::load(gains + i)));
  }
  for (; i < count; ++i) out[i] = x[i] * factor * gains[i];
}

template <class I>
void gate(float* gate, const float* up, int64_t count) {
  constexpr int64_t kLanes = I::kLanes;
  int64_t i = 0;
  for (; i + kLanes <= count; i += kLanes) {
    I::store(gate + i, I::fmul(silu<I>(I::load(gate + i)), I::load(up + i)));
  }
  if (i < count) {
    Tail<I> g;
    Tail<I> u;
    const auto product = I::fmul(silu<I>(g.load(gate + i, count - i)), u.load(up + i, count - i));
    g.store(product, count - i, gate + i);
  }
}

template <class I>
void to_halves(const float* x, int64_t count, uint16_t* out) {
  constexpr int64_t kLanes = I::kLanes;
  int64_t i = 0;
  for (; i + kLanes <= count; i += kLanes) I::store_f16(out + i, I::load(x + i));
  for (; i < count; ++i) out[i] = float_to_half(x[i]);
}

}  // namespace
}  // namespace qk::QK_ISA
