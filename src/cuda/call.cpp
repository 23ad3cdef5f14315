#include "cuda/call.h"

#include <cstdio>

namespace qk::cuda {
namespace {

int code_of(Code code) {
  switch (code) {
    case Code::kOk: return QK_CUDA_OK;
    case Code::kType: return QK_CUDA_TYPE;
    case Code::kValue: return QK_CUDA_VALUE;
    case Code::kIndex: return QK_CUDA_INDEX;
    case Code::kOs: return QK_CUDA_RUNTIME;
    case Code::kMemory: return QK_CUDA_MEMORY;
  }
  return QK_CUDA_VALUE;
}

}  // namespace

int report(const Status& status, qk_cuda_error* error) {
  const int code = code_of(status.code);
  if (error != nullptr) {
    error->code = code;
    error->cuda_error = status.os_error;
    std::snprintf(error->message, sizeof(error->message), "%s", status.message);
  }
  return code;
}

Status status_of(cudaError_t result, const char* what) {
  if (result == cudaSuccess) return {};
  cudaGetLastError();  // it is told here, and not again to whoever asks next
  if (result == cudaErrorMemoryAllocation) {
    return Status::memory_error("%s: %s", what, cudaGetErrorString(result));
  }
  return Status::os_failure(static_cast<int>(result), "%s: %s (%s)", what,
                            cudaGetErrorString(result), cudaGetErrorName(result));
}

OnDevice::OnDevice(int32_t device) {
  int count = 0;
  status_ = status_of(cudaGetDeviceCount(&count), "counting CUDA devices");
  if (!status_.ok()) return;
  if (device < 0 || device >= count) {
    status_ = Status::index_error("device %d is outside 0..%d", device, count - 1);
    return;
  }
  status_ = status_of(cudaGetDevice(&before_), "asking for the current device");
  if (!status_.ok() || before_ == device) return;
  status_ = status_of(cudaSetDevice(device), "choosing a device");
  changed_ = status_.ok();
}

}  // namespace qk::cuda
