// What a lane takes of a block: a slice, loaded at once and multiplied by DP4A.
//
// A slice is kGroups groups of weights that share a scale, each of kParts times 16 neighbours; 16
// weights are a load of 128 bits of int8 activations. The lanes of a warp take neighbouring slices,
// so that together they read neighbouring bytes. A format may specialise Slices, whose default
// multiplies whatever decode() or octet() gives, slowly (cuda/slices_default.h), with
//
//   kFields                     where the parts of its block lie (cuda/blocks.h)
//   kWeights                    weights a slice; kPerBlock slices make a block
//   kGroups, kParts, kStride    the i-th 16 weights of slice c, counted through all of its groups,
//                               begin at weight base(c) + kStride * i of the block
//   Held, load(at, c, held)     the words of a slice, as they are loaded
//   quads(held, c, i, out)      the i-th 16 weights as four words of centred int8, times kFactor
//   d(held)                     what everything is multiplied by, over kFactor
//   scale(held, c, g)           the scale of group g beside d, where kScaled: an int where its
//                               product with a group's sum fits one, else a float
//   dmin(held), min(held, c, g) their product is added to each weight of group g, where kHasMin;
//                               the second, an int, where kMinScaled
//   octets(held, c, i)          with kOctets: the scales of the i-th 16 weights' eights, 0 to 15,
//                               in the two lowest bytes
//
// Everything is exact in integers until a group's sum becomes a float: quants that a bias is
// taken off are centred as they are unpacked, by a quant's highest bit, put at the top of its byte
// and flipped.
#pragma once

#include <cstdint>

#include "cuda/blocks.h"
#include "cuda/device.h"

namespace qk::cuda {

// What slices of a format have in common.
template <class F, int kWeightsEach, int kGroupsEach, int kPartsEach, int kStrideBetween>
struct SliceShape {
  static constexpr int kBlock = F::kInfo.block;
  static constexpr int kBlockBytes = F::kInfo.bytes;
  static constexpr int kWeights = kWeightsEach;
  static constexpr int kPerBlock = kBlock / kWeights;
  static constexpr int kGroups = kGroupsEach;
  static constexpr int kParts = kPartsEach;
  static constexpr int kStride = kStrideBetween;
  static constexpr float kFactor = 1.0f;
  static constexpr bool kScaled = true;
  static constexpr bool kMinScaled = true;
  static constexpr bool kHasMin = F::kHasMin;
  // A min of 16 weights, or one of 32 of which the slice may hold the half.
  static constexpr bool kMinOf16 = F::kMinGroup == 16;
  static constexpr bool kOctets = false;
  static constexpr bool kRecoded = false;  // whether the fields are those of F::Recoded
  static constexpr bool kTakesManyRegisters = kWeights > 32;
  static_assert(kWeights == 16 * kGroups * kParts);

  // From a group's first weight to the next's.
  static constexpr int kGroupStride = kStride * kParts;
};

// Byte j of the quants holds weight j in the low nibble and weight j + 16 in the high one.
template <class F>
struct BlockOfNibbles : SliceShape<F, 32, 1, 2, 16> {
  static constexpr bool kScaled = false;
  static constexpr bool kMinScaled = false;
  static QK_DEVICE int base(int) { return 0; }
};

}  // namespace qk::cuda
