// The kernels of avxvnni with the same instructions as AVX-512 encodes them: for testing avxvnni on
// CPUs that have AVX-512 VNNI but not AVX-VNNI. Runs when it is forced, is never chosen.
#pragma once

#include "isa/vnni256.h"

namespace qk::avxvnni_evex {
namespace {

struct Evex {
  static QK_INLINE __m256i dpbusd(__m256i sum, __m256i q, __m256i x) {
    return _mm256_dpbusd_epi32(sum, q, x);
  }
};

struct Isa : Vnni256<Evex> {
  static constexpr const char* kName = "avxvnni_evex";
  static constexpr uint64_t kNeeds =
      cpu::avx2 | cpu::fma | cpu::f16c | cpu::avx512f | cpu::avx512vl | cpu::avx512vnni;
  static constexpr bool kForTests = true;
};

}  // namespace
}  // namespace qk::avxvnni_evex
