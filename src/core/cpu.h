// What this CPU can do.
#pragma once

#include <cstdint>

namespace qk {

namespace cpu {
inline constexpr uint64_t kAvx2 = 1u << 0;
inline constexpr uint64_t kFma = 1u << 1;
inline constexpr uint64_t kF16c = 1u << 2;
inline constexpr uint64_t kAvx512f = 1u << 3;
inline constexpr uint64_t kAvx512bw = 1u << 4;
inline constexpr uint64_t kAvx512vl = 1u << 5;
inline constexpr uint64_t kAvx512dq = 1u << 6;
inline constexpr uint64_t kAvx512vnni = 1u << 7;
}  // namespace cpu

// The features of this CPU that the operating system also lets programs use.
uint64_t cpu_features();

// The names of the features in `features`, space-separated, into a buffer of `size` bytes.
void cpu_feature_names(uint64_t features, char* buffer, int size);

// The CPU's marketing name, or its architecture where it does not tell; `size` bytes at most.
void cpu_name(char* buffer, int size);

}  // namespace qk
