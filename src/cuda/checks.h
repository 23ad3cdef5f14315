// What the C interface checks of its arguments, before anything is launched.
#pragma once

#include <cstdint>

#include "core/status.h"
#include "cuda/args.h"
#include "cuda/qk_cuda.h"

namespace qk::cuda {

// Rows may not be longer: kernels count a row's blocks in an int.
inline constexpr int64_t kMostK = (int64_t{1} << 31) - 256;

Status check_format(int32_t format);
Status check_layout(int32_t layout);
Status check_act(int32_t act);
Status check_dtype(const char* what, int32_t dtype);
Status check_function(int32_t function);
Status check_k(int64_t k);

// Memory of `bytes` from `pointer` on: not null, of this device, aligned.
Status check_pointer(const char* what, const void* pointer, int32_t device, int64_t alignment);
Status check_matrix(const char* what, const qk_cuda_matrix& matrix, int64_t rows, int64_t columns,
                    int32_t device);
Status check_weights(const char* what, const qk_cuda_weights& weights, int32_t device);

// The activations that a product of this format reads.
Status check_act_of(int32_t format, int32_t act);

// ceil(k / 256) units of each of m columns, behind their row scales.
Status activation_bytes(int32_t act, int64_t m, int64_t k, int64_t* out);

}  // namespace qk::cuda
