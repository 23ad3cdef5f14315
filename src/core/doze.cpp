#include "core/doze.h"

#if defined(__x86_64__)
#include <cpuid.h>
#include <immintrin.h>
#include <x86intrin.h>
#endif

namespace qk {
namespace {

constexpr int kPauses = 32;

#if defined(__x86_64__)

constexpr uint32_t kCycles = 20000;  // of the time-stamp counter: 4 to 10 us

// The light states alone: the deeper one of UMWAIT saves more, and takes longer to leave.
__attribute__((target("waitpkg"))) void umwait(const std::atomic<uint32_t>& word, uint32_t seen) {
  constexpr unsigned kLight = 1;
  _umonitor(const_cast<std::atomic<uint32_t>*>(&word));
  if (word.load(std::memory_order_acquire) != seen) return;
  _umwait(kLight, __rdtsc() + kCycles);
}

__attribute__((target("mwaitx"))) void mwaitx(const std::atomic<uint32_t>& word, uint32_t seen) {
  constexpr unsigned kTimer = 2;     // the third operand counts
  constexpr unsigned kLight = 0xf0;  // C0
  _mm_monitorx(const_cast<std::atomic<uint32_t>*>(&word), 0, 0);
  if (word.load(std::memory_order_acquire) != seen) return;
  _mm_mwaitx(kTimer, kLight, kCycles);
}

bool has_in_ecx(unsigned leaf, unsigned bit) {
  unsigned a = 0;
  unsigned b = 0;
  unsigned c = 0;
  unsigned d = 0;
  return __get_cpuid_count(leaf, 0, &a, &b, &c, &d) != 0 && (c >> bit & 1) != 0;
}

bool has_umwait() { return has_in_ecx(7, 5); }

bool has_mwaitx() { return has_in_ecx(0x80000001u, 29); }

void pause_once() { _mm_pause(); }

#else

void umwait(const std::atomic<uint32_t>&, uint32_t) {}
void mwaitx(const std::atomic<uint32_t>&, uint32_t) {}
bool has_umwait() { return false; }
bool has_mwaitx() { return false; }

void pause_once() {
#if defined(__aarch64__)
  asm volatile("yield");
#endif
}

#endif

}  // namespace

bool can_doze(Doze way) {
  switch (way) {
    case Doze::kUmwait: return has_umwait();
    case Doze::kMwaitx: return has_mwaitx();
    case Doze::kPause: break;
  }
  return true;
}

Doze best_doze() {
  static const Doze kBest = [] {
    for (const Doze way : {Doze::kUmwait, Doze::kMwaitx}) {
      if (can_doze(way)) return way;
    }
    return Doze::kPause;
  }();
  return kBest;
}

void doze(Doze way, const std::atomic<uint32_t>& word, uint32_t seen) {
  switch (way) {
    case Doze::kUmwait: umwait(word, seen); return;
    case Doze::kMwaitx: mwaitx(word, seen); return;
    case Doze::kPause: break;
  }
  for (int i = 0; i < kPauses && word.load(std::memory_order_acquire) == seen; ++i) pause_once();
}

}  // namespace qk
