// The part of the C interface that puts work on a stream.
#include "cuda/qk_cuda.h"

#include <cuda_runtime.h>

#include "core/checked.h"
#include "cuda/call.h"
#include "cuda/checks.h"
#include "cuda/launch.h"

namespace qk::cuda {
namespace {

// Whether a kernel may start before the one before it has ended: 9.0 and later.
bool can_depend(int32_t device) {
  int major = 0;
  return cudaDeviceGetAttribute(&major, cudaDevAttrComputeCapabilityMajor, device) == cudaSuccess &&
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
    return Status::value_error("%s: bias_stride=%lld", what, ll(product.bias_stride));
  }
  return check_pointer(what, bias, product.device, alignof(float));
}

// With a gate: the matrix that is not gates, and its bias.
Status check_up(const qk_cuda_product& product) {
  if (product.up == nullptr) return {};
  qk_cuda_weights up = product.weights;
  up.data = product.up;
  QK_TRY(check_weights("up", up, product.device));
  return check_bias("up_bias", product.up_bias, product);
}

Status check_activations(const qk_cuda_product& product) {
  QK_TRY(check_act_of(product.weights.format, product.act));
  int64_t bytes = 0;
  QK_TRY(activation_bytes(product.act, product.columns, product.weights.k, &bytes));
  return check_pointer("activations", product.activations, product.device, 16);
}

Status check_product(const qk_cuda_product& product) {
  QK_TRY(check_weights("weights", product.weights, product.device));
  QK_TRY(check_up(product));
  QK_TRY(check_activations(product));
  QK_TRY(check_function(product.function));
  QK_TRY(check_bias("bias", product.bias, product));
  return check_matrix("y", product.y, product.columns, product.weights.n, product.device);
}

Status check_apply(const qk_cuda_matrix& values, const void* bias, int32_t bias_dtype,
                   int32_t function, int32_t device) {
  QK_TRY(check_function(function));
  if (values.rows < 1 || values.columns < 1 || values.columns > kMostK) {
    return Status::value_error("values are (%lld, %lld)", ll(values.rows), ll(values.columns));
  }
  QK_TRY(check_matrix("values", values, values.rows, values.columns, device));
  if (bias == nullptr) return {};
  QK_TRY(check_dtype("bias", bias_dtype));
  return check_pointer("bias", bias, device, bias_dtype == QK_CUDA_F32 ? 4 : 2);
}

}  // namespace
}  // namespace qk::cuda

using namespace qk;
using namespace qk::cuda;

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
      return Status::value_error("x is (%lld, %lld), not (%lld, %lld)", ll(x->rows), ll(x->columns),
                                 ll(product->columns), ll(product->weights.k));
    }
    void* activations = const_cast<void*>(product->activations);
    QK_TRY(check_quantize(*x, product->act, activations, product->device));
    cudaStream_t stream = stream_of(product->stream);
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
    QK_TRY(check_apply(*values, bias, bias_dtype, function, device));
    return status_of(launch_apply(*values, bias, bias_dtype, function, {stream_of(stream), false}),
                     "applying a function");
  });
}
