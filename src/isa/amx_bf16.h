// Intel AMX with bfloat16 tiles, on top of avx512vnni: 16 x 16 x 32 multiplications an instruction.
//
// A system hands out the tile registers on request (core/os.h), and saves them at every switch of
// threads unless they are released.
#pragma once

#include <immintrin.h>

#include "isa/avx512_tiles.h"

namespace qk::amx_bf16 {
namespace {

// Palette 1: up to 8 tiles of 16 rows of 64 bytes.
struct alignas(64) TileConfig {
  uint8_t palette = 1;
  uint8_t start_row = 0;
  uint8_t reserved[14] = {};
  uint16_t row_bytes[16] = {64, 64, 64, 64, 64, 64, 64, 64};
  uint8_t rows[16] = {16, 16, 16, 16, 16, 16, 16, 16};
};
static_assert(sizeof(TileConfig) == 64);

// Instructions that name a register are written out, because intrinsics take it as a literal, no
// template argument, and GCC's do not say that loads read memory.
// NOLINTBEGIN(portability-no-assembler)
class TileRegisters {
 public:
  TileRegisters() { _tile_loadconfig(&kConfig); }
  ~TileRegisters() { _tile_release(); }
  TileRegisters(const TileRegisters&) = delete;
  TileRegisters& operator=(const TileRegisters&) = delete;

  template <int kTile>
  QK_INLINE void zero() {
    __asm__ volatile("tilezero %%tmm%c0" : : "i"(kTile));
  }
  template <int kTile>
  QK_INLINE void load(const void* tile) {
    __asm__ volatile("tileloadd (%0,%1,1), %%tmm%c2"
                     :
                     : "r"(tile), "r"(kRowBytes), "i"(kTile)
                     : "memory");
  }
  template <int kTile>
  QK_INLINE void store(void* tile) {
    __asm__ volatile("tilestored %%tmm%c2, (%0,%1,1)"
                     :
                     : "r"(tile), "r"(kRowBytes), "i"(kTile)
                     : "memory");
  }
  template <int kSum, int kWeights, int kSlab>
  QK_INLINE void dot() {
    __asm__ volatile("tdpbf16ps %%tmm%c2, %%tmm%c1, %%tmm%c0"
                     :
                     : "i"(kSum), "i"(kWeights), "i"(kSlab));
  }

 private:
  static constexpr TileConfig kConfig{};
  static constexpr int64_t kRowBytes = 64;
};
// NOLINTEND(portability-no-assembler)

struct Isa : Avx512Tiles {
  static constexpr const char* kName = "amx_bf16";
  static constexpr uint64_t kNeeds = avx512vnni::Isa::kNeeds | cpu::amx_tile | cpu::amx_bf16;
  static constexpr bool kForTests = false;

  using Tiles = TileRegisters;
};

}  // namespace
}  // namespace qk::amx_bf16
