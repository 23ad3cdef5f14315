// How every function of the C interface begins and ends: on a device, with a code and a message.
#pragma once

#include <cstdint>
#include <cuda_runtime.h>

#include "core/status.h"
#include "cuda/qk_cuda.h"

#define QK_EXPORT extern "C" __attribute__((visibility("default")))

namespace qk::cuda {

// Fills `error`, where there is one, and returns the code.
int report(const Status& status, qk_cuda_error* error);

// A call of the CUDA runtime as a Status; os_error is CUDA's own number.
Status status_of(cudaError_t result, const char* what);

// Makes a device the calling thread's current one, and afterwards the one that was.
class OnDevice {
 public:
  explicit OnDevice(int32_t device);
  ~OnDevice() {
    if (changed_) cudaSetDevice(before_);
  }
  OnDevice(const OnDevice&) = delete;
  OnDevice& operator=(const OnDevice&) = delete;

  const Status& status() const { return status_; }

 private:
  Status status_;
  int before_ = 0;
  bool changed_ = false;
};

// Runs body(), a Status, with `device` current.
template <class Body>
int run_on(int32_t device, qk_cuda_error* error, Body body) {
  const OnDevice current(device);
  if (!current.status().ok()) return report(current.status(), error);
  return report(body(), error);
}

inline cudaStream_t stream_of(void* stream) { return static_cast<cudaStream_t>(stream); }

}  // namespace qk::cuda
