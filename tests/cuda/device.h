// Products through the C interface on the emulated device, for the tests of kernels.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "check.h"
#include "cuda/qk_cuda.h"
#include "kernel_data.h"

namespace qk::test {

// The device, formats and columns that a test walks over; fewer with QK_TEST_FEW_SHAPES.
bool few_shapes();

// Device memory that ends where its allocation ends.
class DeviceBytes {
 public:
  explicit DeviceBytes(int64_t bytes);
  DeviceBytes(const void* from, int64_t bytes);
  ~DeviceBytes();
  DeviceBytes(const DeviceBytes&) = delete;
  DeviceBytes& operator=(const DeviceBytes&) = delete;

  uint8_t* data() const { return data_; }
  template <class T>
  T* as() const {
    return reinterpret_cast<T*>(data_);
  }
  int64_t size() const { return size_; }
  void fill(int byte);

 private:
  uint8_t* data_ = nullptr;
  int64_t size_;
};

// Matrices of random weights as the device has them, and as doubles.
struct DeviceWeights {
  DeviceWeights(Random& random, int format, int layout, int64_t n, int64_t k);
  DeviceWeights(const DeviceWeights& other, int layout);  // the same in another layout

  qk_cuda_weights view() const;

  std::shared_ptr<const RandomWeights> host;
  int layout;
  int64_t row_stride;
  DeviceBytes bytes;
};

// x, its quantised form and y with gaps between its rows, for weights of one shape.
struct DeviceProduct {
  DeviceProduct(const DeviceWeights& weights, int act, const std::vector<float>& x, int64_t m);

  void run();  // and checks that only y was written
  float at(int64_t column, int64_t row) const;
  std::vector<float> results() const;  // (m, n)

  static constexpr int64_t kGap = 3;
  const DeviceWeights& weights;
  int64_t m;
  int64_t stride;
  DeviceBytes x;
  DeviceBytes activations;
  DeviceBytes y;
  qk_cuda_matrix x_view;
  qk_cuda_product call;
};

// What x may look like: zeros, Gaussian, one value a thousand times the others, or so large that
// the sum of 32 of them passes what binary16 holds.
enum class Kind : uint8_t { kZero, kGaussian, kOutlier, kLargeSums };
inline constexpr Kind kKinds[] = {Kind::kZero, Kind::kGaussian, Kind::kOutlier, Kind::kLargeSums};

std::vector<float> activations_like(Random& random, Kind kind, int64_t m, int64_t k);

// x W^T in double precision, (m, n).
std::vector<double> exact(const DeviceWeights& weights, const std::vector<float>& x, int64_t m);

std::string act_text(int act);
double bound_of_act(const std::string& act);

// Whether float weights take these activations, and the layout is not the native one again.
bool is_kernel(int format, int layout, int act);

}  // namespace qk::test
