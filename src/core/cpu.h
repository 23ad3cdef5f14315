// What this CPU can do.
#pragma once

#include <cstdint>

namespace qk {

// The features that ISAs ask for: one line each. On x86 under the name that /proc/cpuinfo and, for
// most, the run-time support of GCC and Clang (__builtin_cpu_supports) use; on Arm under that of
// /proc/cpuinfo, followed by where the kernel reports it. Every build knows all of the names, and
// finds those of its own architecture.
#define QK_X86_FEATURES_BY_NAME(X) \
  X(avx2)                          \
  X(fma)                           \
  X(avx512f)                       \
  X(avx512bw)                      \
  X(avx512vl)                      \
  X(avx512dq)                      \
  X(avx512vnni)
#define QK_ARM_FEATURES(X)            \
  X(asimd, AT_HWCAP, HWCAP_ASIMD)     \
  X(asimddp, AT_HWCAP, HWCAP_ASIMDDP) \
  X(i8mm, AT_HWCAP2, HWCAP2_I8MM)

// Clang 16 has no name for some of these, and what names AMX in both does not ask whether the
// system lets programs use it: cpu.cpp asks the CPU itself.
#define QK_X86_FEATURES_BY_CPUID(X) \
  X(f16c)                           \
  X(avxvnni)                        \
  X(amx_tile)                       \
  X(amx_bf16)
#define QK_CPU_FEATURES(X)    \
  QK_X86_FEATURES_BY_NAME(X)  \
  QK_X86_FEATURES_BY_CPUID(X) \
  QK_ARM_FEATURES(X)

// cpu::avx2 and so on: one bit a feature.
// NOLINTBEGIN(readability-identifier-naming): the compiler's names
namespace cpu {
enum class Position : uint8_t {
#define QK_POSITION(name, ...) name,
  QK_CPU_FEATURES(QK_POSITION)
#undef QK_POSITION
};
#define QK_BIT(name, ...) \
  inline constexpr uint64_t name = uint64_t{1} << static_cast<int>(Position::name);
QK_CPU_FEATURES(QK_BIT)
#undef QK_BIT
}  // namespace cpu
// NOLINTEND(readability-identifier-naming)

// The features of this CPU that the operating system also lets programs use.
uint64_t cpu_features();

// The names of the features in `features`, space-separated, into a buffer of `size` bytes.
void cpu_feature_names(uint64_t features, char* buffer, int size);

// The CPU's marketing name, or its architecture where it does not tell; `size` bytes at most.
void cpu_name(char* buffer, int size);

}  // namespace qk
