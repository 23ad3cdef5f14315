// Weights as floats: every bit as decode() gives it.
#pragma once

#include <cstdint>

#include "cuda/args.h"
#include "cuda/blocks.h"
#include "cuda/device.h"
#include "cuda/epilogue.h"
#include "cuda/slices.h"

namespace qk::cuda {

// What a group's quants are multiplied by, and what is added to them where there are mins.
template <class S>
QK_DEVICE float weight_scale(const typename S::Held& held, int c, int g) {
  if constexpr (S::kScaled) {
    return S::d(held) * static_cast<float>(S::scale(held, c, g));
  } else {
    return S::d(held);
  }
}
template <class S>
QK_DEVICE float weight_min(const typename S::Held& held, int c, int g) {
  if constexpr (S::kHasMin && S::kMinScaled) {
    return S::dmin(held) * static_cast<float>(S::min(held, c, g));
  } else if constexpr (S::kHasMin) {
    return S::dmin(held);
  } else {
    return 0.0f;
  }
}

// The scale of one of the two eights of the i-th 16 weights, whose group has `scale`.
template <class S>
QK_DEVICE float eight_scale(const typename S::Held& held, int c, int i, int eight, float scale) {
  if constexpr (S::kOctets) {
    return scale * unsigned_byte(S::octets(held, c, i), eight);
  } else {
    return scale;
  }
}

// The i-th 16 weights of a slice.
template <class S>
QK_DEVICE void decode_part(const typename S::Held& held, int c, int i, float (&out)[16]) {
  const int g = i / S::kParts;
  const float scale = weight_scale<S>(held, c, g);
  const float min = weight_min<S>(held, c, g);
  uint32_t quads[4];
  S::quads(held, c, i, quads);
  QK_UNROLL_ALL
  for (int w = 0; w < 16; ++w) {
    out[w] = eight_scale<S>(held, c, i, w / 8, scale) * signed_byte(quads[w / 4], w % 4);
    if constexpr (S::kHasMin) out[w] += min;
  }
}

// A thread decodes a slice of one row after another.
template <class S, Layout L>
__global__ __launch_bounds__(kDecodeThreads, 4) void dequantize(const DecodeArgs args) {
  const int64_t slice = static_cast<int64_t>(blockIdx.x) * kDecodeThreads + threadIdx.x;
  const int64_t block = slice / S::kPerBlock;
  const int c = static_cast<int>(slice % S::kPerBlock);
  if (block >= args.blocks) return;
  const int64_t first = block * S::kBlock + S::base(c);
  for (int64_t row = blockIdx.y; row < args.n; row += gridDim.y) {
    const BlockAt<S, L> at(args.weights + row * args.row_stride, args.planes, block);
    typename S::Held held;
    S::load(at, c, held);
    QK_UNROLL_ALL
    for (int i = 0; i < S::kGroups * S::kParts; ++i) {
      float out[16];
      decode_part<S>(held, c, i, out);
      const int64_t begin = first + S::kStride * i;
      QK_UNROLL_ALL
      for (int w = 0; w < 16; ++w) {
        if (begin + w < args.k) {
          store_float(out[w], args.out, args.type, row * args.out_stride + begin + w);
        }
      }
    }
  }
}

}  // namespace qk::cuda
