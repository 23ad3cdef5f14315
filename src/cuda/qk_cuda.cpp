#include "cuda/qk_cuda.h"

#include <cuda_runtime.h>

#include <algorithm>
#include <cstdio>
#include <cstring>

#include "core/checked.h"
#include "cuda/checks.h"
#include "cuda/kernels.h"
#include "cuda/launch.h"
#include "cuda/packing.h"
#include "formats/registry.h"

namespace qk::cuda {
namespace {

constexpr int kLeastMajor = 7;  // 7.5 is the first that the shared object has code for
constexpr int kLeastMinor = 5;

int fill(qk_cuda_error* error, int32_t code, int32_t cuda_error, const char* message) {
  if (error != nullptr) {
    error->code = code;
    error->cuda_error = cuda_error;
    std::snprintf(error->message, sizeof(error->message), "%s", message);
  }
  return code;
}

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

int report(const Status& status, qk_cuda_error* error) {
  return fill(error, code_of(status.code), status.os_error, status.message);
}

// A call of the CUDA runtime as a Status; os_error is CUDA's own number.
Status status_of(cudaError_t result, const char* what) {
  if (result == cudaSuccess) return {};
  cudaGetLastError();  // it is told here, and not again to whoever asks next
  if (result == cudaErrorMemoryAllocation) {
    return Status::memory_error("%s: %s", what, cudaGetErrorString(result));
  }
  return Status::os_failure(static_cast<int>(result), "%s: %s (%s)", what,
                            cudaGetErrorString(result), cudaGetErrorName(result));
}

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

// Makes a device the calling thread's current one, and afterwards the one that was.
class OnDevice {
 public:
  explicit OnDevice(int32_t device) {
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

cudaStream_t stream_of(void* stream) { return static_cast<cudaStream_t>(stream); }

// Whether a kernel may start before the one before it has ended: 9.0 and later.
bool can_depend(int32_t device) {
  int major = 0;
  return cudaDeviceGetAttribute(&major, cudaDevAttrComputeCapabilityMajor, device) ==
             cudaSuccess &&
         major >= 9;
}

Status check_quantize(const qk_cuda_matrix& x, int32_t act, const void* activations,
                      int32_t device) {
  int64_t bytes = 0;
  QK_TRY(activation_bytes(act, x.rows, x.columns, &bytes));
  QK_TRY(check_matrix("x", x, x.rows, x.columns, device));
  return check_pointer("activations", activations, device, 16);
}

Status check_bias(const char* what, const float* bias, const qk_cuda_product& product) {
  if (bias == nullptr) return {};
  int64_t end = 0;
  if (product.bias_stride < 0 || !checked_mul(product.bias_stride, product.columns, &end)) {
    return Status::value_error("%s: bias_stride=%lld", what,
                               static_cast<long long>(product.bias_stride));
  }
  return check_pointer(what, bias, product.device, alignof(float));
}

Status check_product(const qk_cuda_product& product) {
  QK_TRY(check_weights("weights", product.weights, product.device));
  if (product.up != nullptr) {
    qk_cuda_weights up = product.weights;
    up.data = product.up;
    QK_TRY(check_weights("up", up, product.device));
  }
  QK_TRY(check_act_of(product.weights.format, product.act));
  QK_TRY(check_function(product.function));
  int64_t bytes = 0;
  QK_TRY(activation_bytes(product.act, product.columns, product.weights.k, &bytes));
  QK_TRY(check_pointer("activations", product.activations, product.device, 16));
  QK_TRY(check_bias("bias", product.bias, product));
  if (product.up != nullptr) QK_TRY(check_bias("up_bias", product.up_bias, product));
  return check_matrix("y", product.y, product.columns, product.weights.n, product.device);
}

}  // namespace
}  // namespace qk::cuda

using namespace qk;
using namespace qk::cuda;

#define QK_EXPORT extern "C" __attribute__((visibility("default")))

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
      return fill(error, QK_CUDA_OK, 0, "");
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
      return Status::value_error("bytes=%lld is not positive", static_cast<long long>(bytes));
    }
    return status_of(cudaMalloc(pointer, static_cast<size_t>(bytes)), "allocating device memory");
  });
}

QK_EXPORT int qk_cuda_free(int32_t device, void* pointer, qk_cuda_error* error) {
  return run_on(device, error, [&] { return status_of(cudaFree(pointer), "freeing memory"); });
}

QK_EXPORT int qk_cuda_copy(int32_t device, void* to, const void* from, int64_t bytes, void* stream,
                           qk_cuda_error* error) {
  return run_on(device, error, [&]() -> Status {
    if (to == nullptr || from == nullptr || bytes < 0) {
      return Status::value_error("copying %lld bytes from %p to %p", static_cast<long long>(bytes),
                                 from, to);
    }
    return status_of(cudaMemcpyAsync(to, from, static_cast<size_t>(bytes), cudaMemcpyDefault,
                                     stream_of(stream)),
                     "copying");
  });
}

QK_EXPORT int qk_cuda_synchronize(int32_t device, void* stream, qk_cuda_error* error) {
  return run_on(device, error, [&] {
    return status_of(cudaStreamSynchronize(stream_of(stream)), "waiting for a stream");
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
  if (*format >= 0) return fill(error, QK_CUDA_OK, 0, "");
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
  return fill(error, QK_CUDA_OK, 0, "");
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
  const auto pack = [&]() -> Status {
    QK_TRY(check_format(format));
    QK_TRY(check_k(k));
    int64_t native = 0;
    int64_t packed = 0;
    int64_t total = 0;
    QK_TRY(row_bytes_of(format, Layout::kNative, k, &native));
    QK_TRY(row_bytes_of(format, Layout::kPacked, k, &packed));
    if (from == nullptr || to == nullptr) return Status::value_error("packing from or to null");
    if (n < 1 || row_stride < native || !checked_mul(n, row_stride, &total) ||
        !checked_mul(n, packed, &total) || to_bytes < total) {
      return Status::value_error("packing n=%lld rows that lie %lld bytes apart into %lld bytes; "
                                 "they have %lld each, packed %lld",
                                 static_cast<long long>(n), static_cast<long long>(row_stride),
                                 static_cast<long long>(to_bytes), static_cast<long long>(native),
                                 static_cast<long long>(packed));
    }
    for (int64_t row = 0; row < n; ++row) {
      const uint8_t* source = static_cast<const uint8_t*>(from) + row * row_stride;
      uint8_t* target = static_cast<uint8_t*>(to) + row * packed;
      if (kernels_of(format).packs) {
        pack_row(format, k, source, target, packed);
      } else {
        std::memcpy(target, source, static_cast<size_t>(native));
      }
    }
    return {};
  };
  return report(pack(), error);
}

QK_EXPORT int qk_cuda_activation_bytes(int32_t act, int64_t m, int64_t k, int64_t* bytes,
                                       qk_cuda_error* error) {
  return report(activation_bytes(act, m, k, bytes), error);
}

QK_EXPORT int qk_cuda_quantize(int32_t device, const qk_cuda_matrix* x, int32_t act,
                               void* activations, void* stream, qk_cuda_error* error) {
  return run_on(device, error, [&]() -> Status {
    QK_TRY(check_quantize(*x, act, activations, device));
    return status_of(launch_activate(*x, act, activations, {stream_of(stream), false}),
                     "quantising activations");
  });
}

QK_EXPORT int qk_cuda_multiply(const qk_cuda_product* product, qk_cuda_error* error) {
  return run_on(product->device, error, [&]() -> Status {
    QK_TRY(check_product(*product));
    return status_of(launch_product(*product, {stream_of(product->stream), false}), "multiplying");
  });
}

QK_EXPORT int qk_cuda_quantize_and_multiply(const qk_cuda_matrix* x, const qk_cuda_product* product,
                                            qk_cuda_error* error) {
  return run_on(product->device, error, [&]() -> Status {
    QK_TRY(check_product(*product));
    if (x->rows != product->columns || x->columns != product->weights.k) {
      return Status::value_error(
          "x is (%lld, %lld), not (%lld, %lld)", static_cast<long long>(x->rows),
          static_cast<long long>(x->columns), static_cast<long long>(product->columns),
          static_cast<long long>(product->weights.k));
    }
    void* activations = const_cast<void*>(product->activations);
    QK_TRY(check_quantize(*x, product->act, activations, product->device));
    const cudaStream_t stream = stream_of(product->stream);
    QK_TRY(status_of(launch_activate(*x, product->act, activations, {stream, false}),
                     "quantising activations"));
    return status_of(launch_product(*product, {stream, can_depend(product->device)}),
                     "multiplying");
  });
}

QK_EXPORT int qk_cuda_dequantize(int32_t device, const qk_cuda_weights* weights,
                                 const qk_cuda_matrix* out, void* stream, qk_cuda_error* error) {
  return run_on(device, error, [&]() -> Status {
    QK_TRY(check_weights("weights", *weights, device));
    QK_TRY(check_matrix("out", *out, weights->n, weights->k, device));
    return status_of(launch_dequantize(*weights, *out, {stream_of(stream), false}), "decoding");
  });
}

QK_EXPORT int qk_cuda_apply(int32_t device, const qk_cuda_matrix* values, const void* bias,
                            int32_t bias_dtype, int32_t function, void* stream,
                            qk_cuda_error* error) {
  return run_on(device, error, [&]() -> Status {
    QK_TRY(check_function(function));
    if (values->rows < 1 || values->columns < 1 || values->columns > kMostK) {
      return Status::value_error("values are (%lld, %lld)", static_cast<long long>(values->rows),
                                 static_cast<long long>(values->columns));
    }
    QK_TRY(check_matrix("values", *values, values->rows, values->columns, device));
    if (bias != nullptr) {
      QK_TRY(check_dtype("bias", bias_dtype));
      QK_TRY(check_pointer("bias", bias, device, bias_dtype == QK_CUDA_F32 ? 4 : 2));
    }
    return status_of(
        launch_apply(*values, bias, bias_dtype, function, {stream_of(stream), false}),
        "applying a function");
  });
}
