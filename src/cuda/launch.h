// Launches: from checked arguments to kernels on a stream.
#pragma once

#include <cstdint>
#include <cuda_runtime.h>

#include "cuda/args.h"
#include "cuda/qk_cuda.h"

namespace qk::cuda {

// Of every launch. A dependent one may start while the launch before it on the stream still runs,
// which must be one of ours that writes nothing but activations.
struct LaunchOn {
  cudaStream_t stream;
  bool dependent;
};

cudaError_t launch_activate(const qk_cuda_matrix& x, int32_t act, void* activations, LaunchOn on);
cudaError_t launch_product(const qk_cuda_product& product, LaunchOn on);
cudaError_t launch_dequantize(const qk_cuda_weights& weights, const qk_cuda_matrix& out,
                              LaunchOn on);
cudaError_t launch_apply(const qk_cuda_matrix& values, const void* bias, int32_t bias_dtype,
                         int32_t function, LaunchOn on);

}  // namespace qk::cuda
