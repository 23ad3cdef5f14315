// The part of the C interface that launches nothing: the machine, memory, formats, packing.
#include <cstdio>
#include <cstring>
#include <cuda_runtime.h>

#include "core/checked.h"
#include "cuda/call.h"
#include "cuda/checks.h"
#include "cuda/kernels.h"
#include "cuda/packing.h"
#include "cuda/qk_cuda.h"
#include "formats/registry.h"

namespace qk::cuda {
namespace {

constexpr int kLeastMajor = 7;  // 7.5 is the first that the shared object has code for
constexpr int kLeastMinor = 5;

Status count_devices(int* count) {
  int driver = 0;
  if (cudaDriverGetVersion(&driver) != cudaSuccess || driver == 0) {
    cudaGetLastError();
    return Status::os_failure(0, "there is no CUDA driver on this machine");
  }
  QK_TRY(status_of(cudaGetDeviceCount(count), "counting CUDA devices"));
  if (*count == 0) return Status::os_failure(0, "there is no CUDA device on this machine");
  return {};
}

// What a caller asks to be packed: rows that are there, and room for them. `packed` is a row's
// bytes.
Status check_pack(int32_t format, int64_t n, int64_t k, int64_t row_stride, int64_t to_bytes,
                  int64_t* packed) {
  QK_TRY(check_format(format));
  QK_TRY(check_k(k));
  int64_t native = 0;
  int64_t total = 0;
  QK_TRY(row_bytes_of(format, Layout::kNative, k, &native));
  QK_TRY(row_bytes_of(format, Layout::kPlanes, k, packed));
  if (n >= 1 && row_stride >= native && checked_mul(n, row_stride, &total) &&
      checked_mul(n, *packed, &total) && to_bytes >= total) {
    return {};
  }
  return Status::value_error(
      "packing n=%lld rows that lie %lld bytes apart into %lld bytes; "
      "they have %lld each, packed %lld",
      ll(n), ll(row_stride), ll(to_bytes), ll(native), ll(*packed));
}

Status pack_rows(int32_t format, int64_t n, int64_t k, const uint8_t* from, int64_t row_stride,
                 uint8_t* to, int64_t to_bytes) {
  int64_t packed = 0;
  QK_TRY(check_pack(format, n, k, row_stride, to_bytes, &packed));
  if (from == nullptr || to == nullptr) return Status::value_error("packing from or to null");
  for (int64_t row = 0; row < n; ++row) {
    if (kernels_of(format).packs) {
      pack_row(format, k, from + row * row_stride, to + row * packed, packed);
    } else {
      std::memcpy(to + row * packed, from + row * row_stride, static_cast<size_t>(packed));
    }
  }
  return {};
}

// What CUDA forbids while a stream anywhere records a graph, since it may wait for the device.
// Memory is no part of what is recorded, and finalisers run when they like.
class WhileCapturing {
 public:
  WhileCapturing() { cudaThreadExchangeStreamCaptureMode(&mode_); }
  ~WhileCapturing() { cudaThreadExchangeStreamCaptureMode(&mode_); }
  WhileCapturing(const WhileCapturing&) = delete;
  WhileCapturing& operator=(const WhileCapturing&) = delete;

 private:
  cudaStreamCaptureMode mode_ = cudaStreamCaptureModeRelaxed;
};

}  // namespace
}  // namespace qk::cuda

using namespace qk;
using namespace qk::cuda;

QK_EXPORT int qk_cuda_abi(void) { return QK_CUDA_ABI; }

QK_EXPORT int qk_cuda_available(qk_cuda_error* error) {
  int count = 0;
  const Status counted = count_devices(&count);
  if (!counted.ok()) return report(counted, error);
  cudaDeviceProp properties{};
  int major = 0;
  int minor = 0;
  for (int device = 0; device < count; ++device) {
    const Status status =
        status_of(cudaGetDeviceProperties(&properties, device), "asking for a device's properties");
    if (!status.ok()) return report(status, error);
    major = properties.major;
    minor = properties.minor;
    if (major > kLeastMajor || (major == kLeastMajor && minor >= kLeastMinor)) {
      return report({}, error);
    }
  }
  return report(Status::os_failure(0, "%s has compute capability %d.%d, kernels need %d.%d",
                                   properties.name, major, minor, kLeastMajor, kLeastMinor),
                error);
}

QK_EXPORT int qk_cuda_device_count(int32_t* count, qk_cuda_error* error) {
  int found = 0;
  const Status status = count_devices(&found);
  *count = found;
  return report(status, error);
}

QK_EXPORT int qk_cuda_device(int32_t device, qk_cuda_device_info* info, qk_cuda_error* error) {
  return run_on(device, error, [&]() -> Status {
    cudaDeviceProp properties{};
    QK_TRY(status_of(cudaGetDeviceProperties(&properties, device), "asking for properties"));
    *info = {};
    std::snprintf(info->name, sizeof(info->name), "%s", properties.name);
    info->major = properties.major;
    info->minor = properties.minor;
    info->multiprocessors = properties.multiProcessorCount;
    info->memory_bytes = static_cast<int64_t>(properties.totalGlobalMem);
    info->l2_bytes = properties.l2CacheSize;
    return status_of(cudaDriverGetVersion(&info->driver_version), "asking for the driver");
  });
}

QK_EXPORT int qk_cuda_malloc(int32_t device, int64_t bytes, void** pointer, qk_cuda_error* error) {
  *pointer = nullptr;
  return run_on(device, error, [&]() -> Status {
    if (bytes < 1) {
      return Status::value_error("bytes=%lld is not positive", ll(bytes));
    }
    const WhileCapturing allowed;
    return status_of(cudaMalloc(pointer, static_cast<size_t>(bytes)), "allocating device memory");
  });
}

QK_EXPORT int qk_cuda_free(int32_t device, void* pointer, qk_cuda_error* error) {
  return run_on(device, error, [&] {
    const WhileCapturing allowed;
    return status_of(cudaFree(pointer), "freeing memory");
  });
}

QK_EXPORT int qk_cuda_copy(int32_t device, void* to, const void* from, int64_t bytes, void* stream,
                           qk_cuda_error* error) {
  return run_on(device, error, [&]() -> Status {
    if (to == nullptr || from == nullptr || bytes < 0) {
      return Status::value_error("copying %lld bytes from %p to %p", ll(bytes), from, to);
    }
    return status_of(
        cudaMemcpyAsync(to, from, static_cast<size_t>(bytes), cudaMemcpyDefault, stream_of(stream)),
        "copying");
  });
}

QK_EXPORT int qk_cuda_synchronize(int32_t device, void* stream, qk_cuda_error* error) {
  return run_on(device, error, [&] {
    return status_of(cudaStreamSynchronize(stream_of(stream)), "waiting for a stream");
  });
}

QK_EXPORT int qk_cuda_synchronize_device(int32_t device, qk_cuda_error* error) {
  return run_on(device, error,
                [] { return status_of(cudaDeviceSynchronize(), "waiting for a device"); });
}

QK_EXPORT int qk_cuda_wait(int32_t device, void* stream, void* other, qk_cuda_error* error) {
  return run_on(device, error, [&]() -> Status {
    cudaEvent_t event = nullptr;
    QK_TRY(status_of(cudaEventCreateWithFlags(&event, cudaEventDisableTiming), "making an event"));
    Status status = status_of(cudaEventRecord(event, stream_of(other)), "recording an event");
    if (status.ok()) {
      status = status_of(cudaStreamWaitEvent(stream_of(stream), event, 0), "waiting for an event");
    }
    cudaEventDestroy(event);  // CUDA keeps it until it has happened
    return status;
  });
}

QK_EXPORT int qk_cuda_pointer_device(const void* pointer, int32_t* device, qk_cuda_error* error) {
  cudaPointerAttributes attributes{};
  const Status status =
      status_of(cudaPointerGetAttributes(&attributes, pointer), "asking for a pointer's device");
  const bool on_device =
      attributes.type == cudaMemoryTypeDevice || attributes.type == cudaMemoryTypeManaged;
  *device = status.ok() && on_device ? attributes.device : -1;
  return report(status, error);
}

QK_EXPORT int qk_cuda_find_format(const char* name, int32_t* format, qk_cuda_error* error) {
  *format = find_format(name);
  if (*format >= 0) return report({}, error);
  return report(Status::value_error("\"%.60s\" is no format", name), error);
}

QK_EXPORT int qk_cuda_format_info(int32_t format, qk_cuda_format_info_t* info,
                                  qk_cuda_error* error) {
  const Status status = check_format(format);
  if (!status.ok()) return report(status, error);
  const Format& description = format_at(format);
  *info = {};
  std::snprintf(info->name, sizeof(info->name), "%s", description.info.name);
  info->block = description.info.block;
  info->block_bytes = description.info.bytes;
  info->alignment = native_alignment(format);
  info->packs = kernels_of(format).packs ? 1 : 0;
  info->is_float = description.is_float ? 1 : 0;
  return report({}, error);
}

QK_EXPORT int qk_cuda_row_bytes(int32_t format, int32_t layout, int64_t k, int64_t* bytes,
                                qk_cuda_error* error) {
  const auto count = [&]() -> Status {
    QK_TRY(check_format(format));
    QK_TRY(check_layout(layout));
    QK_TRY(check_k(k));
    return row_bytes_of(format, static_cast<Layout>(layout), k, bytes);
  };
  return report(count(), error);
}

QK_EXPORT int qk_cuda_pack(int32_t format, int64_t n, int64_t k, const void* from,
                           int64_t row_stride, void* to, int64_t to_bytes, qk_cuda_error* error) {
  return report(pack_rows(format, n, k, static_cast<const uint8_t*>(from), row_stride,
                          static_cast<uint8_t*>(to), to_bytes),
                error);
}
