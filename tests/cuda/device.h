// Products through the C interface, for the tests of kernels: on the emulated device or on a real
// one, whichever the program is linked to.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "check.h"
#include "cuda/qk_cuda.h"
#include "formats/registry.h"
#include "kernel_data.h"

namespace qk::test {

// Device memory that ends where its allocation ends, and in which nothing is written yet: tools
// that look for reads of such memory shall see them. A program that gets none says why, and ends.
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

  // Copies, once what was put on the default stream before is done.
  void upload(int64_t at, const void* from, int64_t bytes) const;
  template <class T>
  std::vector<T> download() const {
    std::vector<T> host(static_cast<size_t>(size_) / sizeof(T));
    copy(host.data(), data_, size_);
    return host;
  }

 private:
  static void copy(void* to, const void* from, int64_t bytes);

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
  DeviceProduct(const DeviceWeights& of, int act, const std::vector<float>& values,
                int64_t columns);

  void run();  // and checks that only y was written
  void fetch();
  float at(int64_t column, int64_t row) const;  // what was last fetched, as run() does
  std::vector<float> results() const;           // (m, n)

  static constexpr int64_t kGap = 3;
  const DeviceWeights& weights;
  int64_t m;
  int64_t stride;
  DeviceBytes x;
  DeviceBytes activations;
  DeviceBytes y;
  qk_cuda_matrix x_view;
  qk_cuda_product call;
  std::vector<float> fetched;  // y and its gaps
};

// What x may look like: zeros, Gaussian, one value a thousand times the others, or so large that
// the sum of 32 of them passes what binary16 holds.
enum class Kind : uint8_t { kZero, kGaussian, kOutlier, kLargeSums };
inline constexpr Kind kKinds[] = {Kind::kZero, Kind::kGaussian, Kind::kOutlier, Kind::kLargeSums};

std::vector<float> activations_like(Random& random, Kind kind, int64_t m, int64_t k);

// x W^T in double precision, (m, n).
std::vector<double> exact(const DeviceWeights& weights, const std::vector<float>& x, int64_t m);

// A product of 4 rows of q4_k and 2 of x with all that it needs, to be spoilt.
struct Sound {
  Sound();

  Random random;
  DeviceWeights weights;
  DeviceProduct product;
};

const char* act_text(int act);
double bound_of_act(std::string_view act);

// Whether float weights take these activations, and the layout is not the native one again.
bool is_kernel(int format, int layout, int act);

std::string kernel_text(int format, int layout, int act);

inline constexpr int kActNumbers[] = {QK_CUDA_INT16, QK_CUDA_FLOAT32, QK_CUDA_INT8};

// Calls body(format, layout, act) for all kernels.
template <class Body>
void for_each_kernel(Body body) {
  for (int format = 0; format < format_count(); ++format) {
    for (const int layout : {QK_CUDA_NATIVE, QK_CUDA_PACKED}) {
      for (const int act : kActNumbers) {
        if (!is_kernel(format, layout, act)) continue;
        const Context context("%s", kernel_text(format, layout, act).c_str());
        body(format, layout, act);
      }
    }
  }
}

}  // namespace qk::test
