// int16 activations as two planes of int8, for ISAs with a dot product of bytes.
#pragma once

#include "isa/idioms.h"

namespace qk {

// v = 256 * high + low for |v| <= 32639: high in [-127, 127] in plane 0, low in [-128, 127] in
// plane 1, in order.
QK_INLINE void store_planes(int8_t (&planes)[2][kUnit], int g,
                            const int32_t (&v)[kActivationGroup]) {
  for (int i = 0; i < kActivationGroup; ++i) {
    const int32_t high = (v[i] + 128) >> 8;
    planes[0][kActivationGroup * g + i] = static_cast<int8_t>(high);
    planes[1][kActivationGroup * g + i] = static_cast<int8_t>(v[i] - 256 * high);
  }
}

}  // namespace qk
