// The values of 4-bit codes, made unsigned by a bias. Written by scripts/make_tables.py.
#pragma once

#include <cstdint>

#include "core/macros.h"

namespace qk {

constexpr int kIq4Bias = 128;
QK_TABLE uint8_t kIq4Values[16] = {
    1, 24, 45, 63, 79, 93, 106, 118, 129, 141, 153, 166, 181, 197, 217, 241,
};

constexpr int kE2m1Bias = 16;
QK_TABLE uint8_t kE2m1Values[16] = {
    16, 17, 18, 19, 20, 22, 24, 28, 16, 15, 14, 13, 12, 10, 8, 4,
};

}  // namespace qk
