// The tiles of amx_bf16 in plain C++, for testing what uses them on CPUs that have AVX-512 VNNI but
// not AMX. Runs when it is forced, is never chosen.
//
// dot() is Intel's description of TDPBF16PS: the even values of a row are summed by fused
// multiply-adds, and so are the odd ones; both sums are added, and then the sum before. Every
// rounding is to nearest, and denormals, read or made, are zeros.
#pragma once

#include "isa/avx512_tiles.h"

namespace qk::amx_emulated {
namespace {

class EmulatedTiles {
 public:
  template <int kTile>
  QK_INLINE void zero() {
    __builtin_memset(tiles_[kTile], 0, sizeof(tiles_[kTile]));
  }
  template <int kTile>
  QK_INLINE void load(const void* tile) {
    __builtin_memcpy(tiles_[kTile], tile, sizeof(tiles_[kTile]));
  }
  template <int kTile>
  QK_INLINE void store(void* tile) {
    __builtin_memcpy(tile, tiles_[kTile], sizeof(tiles_[kTile]));
  }
  template <int kSum, int kWeights, int kSlab>
  QK_INLINE void dot() {
    for (int row = 0; row < kRows; ++row) {
      float even[kWords] = {};
      float odd[kWords] = {};
      for (int pair = 0; pair < kWords; ++pair) {
        const uint32_t a = tiles_[kWeights][row][pair];
        for (int n = 0; n < kWords; ++n) {
          const uint32_t b = tiles_[kSlab][pair][n];
          even[n] = without_denormal(__builtin_fmaf(even_of(a), even_of(b), even[n]));
          odd[n] = without_denormal(__builtin_fmaf(odd_of(a), odd_of(b), odd[n]));
        }
      }
      for (int n = 0; n < kWords; ++n) {
        const float before = without_denormal(float_of_bits(tiles_[kSum][row][n]));
        const float sum = before + without_denormal(even[n] + odd[n]);
        tiles_[kSum][row][n] = bits_of_float(without_denormal(sum));
      }
    }
  }

 private:
  static constexpr int kRows = 16;
  static constexpr int kWords = 16;  // of 32 bits: pairs of bfloat16, or a float32

  static QK_INLINE float without_denormal(float value) {
    const uint32_t bits = bits_of_float(value);
    return float_of_bits((bits & 0x7f800000u) != 0 ? bits : bits & 0x80000000u);
  }
  static QK_INLINE float even_of(uint32_t pair) {
    return without_denormal(float_of_bits(pair << 16));
  }
  static QK_INLINE float odd_of(uint32_t pair) {
    return without_denormal(float_of_bits(pair & 0xffff0000u));
  }

  alignas(64) uint32_t tiles_[8][kRows][kWords];
};

struct Isa : Avx512Tiles {
  static constexpr const char* kName = "amx_emulated";
  static constexpr uint64_t kNeeds = avx512vnni::Isa::kNeeds;
  static constexpr bool kForTests = true;

  using Tiles = EmulatedTiles;
};

}  // namespace
}  // namespace qk::amx_emulated
