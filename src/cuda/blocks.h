// Where the fields of a row's blocks lie on the device, as in a file or packed.
//
// A block as it lies in a file may be aligned to a byte (mxfp4: 17 bytes). Packed, a row is a few
// planes: the first fields of all of its blocks, then the second, and so on, each plane at a
// multiple of 16, so that what a lane reads of the quants is one load of 128 bits:
//
//   q6_k, 3 blocks    208 208 208 .. 2 2 2 ..
//                     ql, qh, scales  d
//
// A format lists its fields with their places in a block and the plane that each goes to. It is all
// that packing needs to know, too.
#pragma once

#include <cstdint>

#include "cuda/args.h"
#include "cuda/device.h"

namespace qk::cuda {

// The largest power of two, up to 16, that divides a distance.
constexpr int power_of_two_in(int bytes) {
  int power = 16;
  while (bytes % power != 0) power /= 2;
  return power;
}
constexpr int least(int a, int b) { return a < b ? a : b; }

template <class S>
consteval int plane_bytes(int plane) {
  int bytes = 0;
  for (const Field& field : S::kFields) bytes += field.plane == plane ? field.bytes : 0;
  return bytes;
}

template <class S>
consteval int plane_count() {
  int planes = 0;
  for (const Field& field : S::kFields) planes = field.plane >= planes ? field.plane + 1 : planes;
  return planes;
}

// The place of a field within its plane: after the fields that are listed before it.
template <class S>
consteval int place_in_plane(int index) {
  int place = 0;
  for (int i = 0; i < index; ++i) {
    place += S::kFields[i].plane == S::kFields[index].plane ? S::kFields[i].bytes : 0;
  }
  return place;
}

// Whether the packed layout is another than that of the file.
template <class S>
consteval bool packs() {
  return S::kRecoded || plane_count<S>() != 1 || plane_bytes<S>(0) != S::kBlockBytes;
}

// A block of a row, and the way to those that follow at a distance.
template <class S, Layout L>
class BlockAt {
 public:
  static constexpr int kPlanes = L == Layout::kNative ? 1 : plane_count<S>();

  QK_DEVICE BlockAt(const uint8_t* row, const Planes& planes, int64_t block) {
    constexpr Strides kStrides;
    QK_UNROLL_ALL
    for (int p = 0; p < kPlanes; ++p) {
      at_[p] = row + (L == Layout::kNative ? 0 : planes.at[p]) + block * kStrides.of[p];
    }
  }

  QK_DEVICE void advance(int blocks) {
    constexpr Strides kStrides;
    QK_UNROLL_ALL
    for (int p = 0; p < kPlanes; ++p) at_[p] += static_cast<int64_t>(blocks) * kStrides.of[p];
  }

  // kWords words of a field from `offset` on, a multiple of kStep.
  template <int kField, int kWords, int kStep = 16>
  QK_DEVICE void words(int offset, uint32_t* out) const {
    load_words<least(alignment(kField), power_of_two_in(kStep)), kWords>(address<kField>() + offset,
                                                                         out);
  }
  template <int kField, int kStep = 16>
  QK_DEVICE uint32_t word(int offset) const {
    uint32_t out;
    words<kField, 1, kStep>(offset, &out);
    return out;
  }
  template <int kField, int kStep = 16>
  QK_DEVICE uint32_t half(int offset) const {
    return load_half<least(alignment(kField), power_of_two_in(kStep))>(address<kField>() + offset);
  }
  template <int kField>
  QK_DEVICE uint32_t byte(int offset) const {
    return __ldg(address<kField>() + offset);
  }

  // Where a field begins.
  template <int kField>
  QK_DEVICE const uint8_t* address() const {
    constexpr Field kWhich = S::kFields[kField];
    if constexpr (L == Layout::kNative) {
      return at_[0] + kWhich.offset;
    } else {
      return at_[kWhich.plane] + place_in_plane<S>(kField);
    }
  }

 private:
  // From a block to the next.
  struct Strides {
    int64_t of[kPlanes] = {};
    consteval Strides() {
      for (int p = 0; p < kPlanes; ++p) {
        of[p] = L == Layout::kNative ? S::kBlockBytes : plane_bytes<S>(p);
      }
    }
  };
  static consteval int alignment(int index) {
    if (L == Layout::kNative) {
      return least(power_of_two_in(S::kBlockBytes), power_of_two_in(S::kFields[index].offset));
    }
    return least(power_of_two_in(plane_bytes<S>(S::kFields[index].plane)),
                 power_of_two_in(place_in_plane<S>(index)));
  }
  const uint8_t* at_[kPlanes];
};

}  // namespace qk::cuda
