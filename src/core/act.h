// How x enters a product: which activations kernels multiply weights by.
#pragma once

#include <cstdint>

namespace qk {

enum class Act : uint8_t { kInt16, kFloat32, kInt8 };
inline constexpr int kActs = 3;

}  // namespace qk
