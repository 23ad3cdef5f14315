// Random weights and activations for the kernel tests, with their values in double precision, in
// memory that ends where its allocation ends: AddressSanitizer sees the first byte read past it.
#pragma once

#include <cstdint>
#include <memory>
#include <random>
#include <vector>

#include "core/views.h"

namespace qk::test {

using Random = std::mt19937_64;

// `size` bytes that start `shift` bytes past an aligned address and end their allocation.
class Bytes {
 public:
  Bytes(int64_t size, int shift);
  uint8_t* data() const { return memory_.get() + shift_; }
  int64_t size() const { return size_; }

 private:
  std::unique_ptr<uint8_t[]> memory_;
  int64_t size_;
  int shift_;
};

// n rows of random blocks, none of whose weights is far from 1 or not finite.
struct RandomWeights {
  RandomWeights(Random& random, int format, int64_t n, int64_t k, int shift);

  Bytes bytes;
  std::vector<double> values;  // (n, k), by the format's own decode()
  WeightView view;
};

// Which values of a row of Gaussian activations are larger: none, up to eight of them 20 times, or
// one that is 1000.
enum class Outliers : uint8_t { kNone, kEight, kOne };

// m rows of float32 activations.
struct RandomActivations {
  RandomActivations(Random& random, int64_t m, int64_t k, int shift,
                    Outliers outliers = Outliers::kEight);

  // Multiplies every activation; `values` are what that is in float32.
  void scale_by(double factor);

  Bytes bytes;
  std::vector<double> values;  // (m, k)
  ArrayView view;
};

// x[j] . weights[i] in double precision, of shape (m, n).
std::vector<double> exact_product(const RandomWeights& weights, const RandomActivations& x);

}  // namespace qk::test
