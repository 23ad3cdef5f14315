// Packed rows: how long they are, and how they are made, on the host.
#pragma once

#include <cstdint>

#include "core/status.h"
#include "cuda/args.h"

namespace qk::cuda {

// Whether a layout of a format is the native one: of q4_k, also the packed one.
bool is_native(int format, Layout layout);

// The bytes of a row of k weights. Fails where they pass 2^63.
Status row_bytes_of(int format, Layout layout, int64_t k, int64_t* out);

// Where the planes of a packed row of k weights begin; its length is known to fit.
Planes planes_of(int format, int64_t k);

// The alignment that kernels ask of native rows, and of their distance.
int native_alignment(int format);

// One row, `from` as in a file. Bytes of `to` that no plane covers are zeros.
void pack_row(int format, int64_t k, const uint8_t* from, uint8_t* to, int64_t to_bytes);

}  // namespace qk::cuda
