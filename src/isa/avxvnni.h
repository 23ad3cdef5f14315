// AVX2 with the byte dot product of AVX-VNNI, for CPUs without AVX-512.
#pragma once

#include "isa/vnni256.h"

namespace qk::avxvnni {
namespace {

struct Vex {
  static QK_INLINE __m256i dpbusd(__m256i sum, __m256i q, __m256i x) {
    return _mm256_dpbusd_avx_epi32(sum, q, x);
  }
};

struct Isa : Vnni256<Vex> {
  static constexpr const char* kName = "avxvnni";
  static constexpr uint64_t kNeeds = cpu::avx2 | cpu::fma | cpu::f16c | cpu::avxvnni;
};

}  // namespace
}  // namespace qk::avxvnni
