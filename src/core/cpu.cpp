#include "core/cpu.h"

#include <cstdio>
#include <cstring>

#include "core/os.h"

#if defined(__x86_64__)
#include <cpuid.h>
#elif defined(__aarch64__) && defined(__linux__)
#include <sys/auxv.h>
#endif

namespace qk {
namespace {

struct Feature {
  uint64_t bit;
  const char* name;
};

constexpr Feature kFeatures[] = {
#define QK_FEATURE(name, ...) {cpu::name, #name},
    QK_CPU_FEATURES(QK_FEATURE)
#undef QK_FEATURE
};

}  // namespace

#if defined(__x86_64__)

namespace {

// The registers of both are those of AVX2: where the system saves them for one, it does for the
// others.
bool has_f16c() {
  unsigned a = 0;
  unsigned b = 0;
  unsigned c = 0;
  unsigned d = 0;
  return __get_cpuid(1, &a, &b, &c, &d) != 0 && (c & bit_F16C) != 0 &&
         __builtin_cpu_supports("avx2");
}

bool has_avxvnni() {
  constexpr unsigned kAvxVnniBit = 1u << 4;  // CPUID leaf 7, sub-leaf 1, EAX
  unsigned a = 0;
  unsigned b = 0;
  unsigned c = 0;
  unsigned d = 0;
  return __get_cpuid_count(7, 1, &a, &b, &c, &d) != 0 && (a & kAvxVnniBit) != 0 &&
         __builtin_cpu_supports("avx2");
}

// Whether the system saves tile registers and lets this process use them.
bool has_tiles() {
  unsigned a = 0;
  unsigned b = 0;
  unsigned c = 0;
  unsigned d = 0;
  if (__get_cpuid(1, &a, &b, &c, &d) == 0 || (c & bit_OSXSAVE) == 0) return false;
  // NOLINTNEXTLINE(portability-no-assembler): the intrinsic is for files compiled with -mxsave
  __asm__ volatile("xgetbv" : "=a"(a), "=d"(d) : "c"(0));
  constexpr unsigned kTileState = 3u << 17;  // XCR0: configuration and registers
  return (a & kTileState) == kTileState && request_tile_registers();
}

uint64_t amx_features() {
  constexpr unsigned kAmxBf16Bit = 1u << 22;  // CPUID leaf 7, EDX
  constexpr unsigned kAmxTileBit = 1u << 24;
  unsigned a = 0;
  unsigned b = 0;
  unsigned c = 0;
  unsigned d = 0;
  if (__get_cpuid_count(7, 0, &a, &b, &c, &d) == 0 || (d & kAmxTileBit) == 0) return 0;
  static const bool kHasTiles = has_tiles();
  if (!kHasTiles) return 0;
  return cpu::amx_tile | ((d & kAmxBf16Bit) != 0 ? cpu::amx_bf16 : 0);
}

}  // namespace

// The compiler's run-time support reads CPUID and XGETBV, so a register file that the operating
// system does not save counts as absent.
uint64_t cpu_features() {
  __builtin_cpu_init();
  uint64_t found = 0;
#define QK_DETECT(name) \
  if (__builtin_cpu_supports(#name)) found |= cpu::name;
  QK_X86_FEATURES_BY_NAME(QK_DETECT)
#undef QK_DETECT
  if (has_f16c()) found |= cpu::f16c;
  if (has_avxvnni()) found |= cpu::avxvnni;
  found |= amx_features();
  return found;
}

// CPUID leaves 0x80000002..4 hold 48 bytes of name.
void cpu_name(char* buffer, int size) {
  unsigned words[12] = {};
  const unsigned highest = __get_cpuid_max(0x80000000u, nullptr);
  for (unsigned leaf = 0; leaf < 3 && highest >= 0x80000004u; ++leaf) {
    unsigned* w = words + 4 * leaf;
    __get_cpuid(0x80000002u + leaf, w, w + 1, w + 2, w + 3);
  }
  char text[sizeof(words) + 1] = {};
  std::memcpy(text, words, sizeof(words));
  const char* start = text + std::strspn(text, " ");
  std::snprintf(buffer, static_cast<size_t>(size), "%s", *start != '\0' ? start : "x86-64");
  for (size_t end = std::strlen(buffer); end > 0 && buffer[end - 1] == ' '; --end) {
    buffer[end - 1] = '\0';
  }
}

#elif defined(__aarch64__) && defined(__linux__)

// The kernel names only what it lets programs use.
uint64_t cpu_features() {
  uint64_t found = 0;
#define QK_DETECT(name, word, bit) \
  if ((getauxval(word) & (bit)) != 0) found |= cpu::name;
  QK_ARM_FEATURES(QK_DETECT)
#undef QK_DETECT
  return found;
}

void cpu_name(char* buffer, int size) {
  std::snprintf(buffer, static_cast<size_t>(size), "%s", "aarch64");
}

#else

uint64_t cpu_features() { return 0; }

void cpu_name(char* buffer, int size) {
  std::snprintf(buffer, static_cast<size_t>(size), "%s", "unknown");
}

#endif

void cpu_feature_names(uint64_t features, char* buffer, int size) {
  int used = 0;
  if (size > 0) buffer[0] = '\0';
  for (const Feature& feature : kFeatures) {
    if ((features & feature.bit) == 0 || used >= size) continue;
    used += std::snprintf(buffer + used, static_cast<size_t>(size - used), "%s%s",
                          used > 0 ? " " : "", feature.name);
  }
}

}  // namespace qk
