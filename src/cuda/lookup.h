// Looking up 4-bit codes in a table of sixteen int8, four at a time by byte permutation.
//
// A permutation picks from eight bytes: one for the lower half of the table, one for the upper, and
// a third that takes of each pair of results the one that the code's highest bit asks for.
#pragma once

#include <cstdint>

#include "cuda/device.h"

namespace qk::cuda {

struct ByteTable {
  uint32_t words[4] = {};
};

// Of unsigned values with a bias.
consteval ByteTable byte_table(const uint8_t (&values)[16], int bias) {
  ByteTable table;
  for (int i = 0; i < 16; ++i) {
    const auto byte = static_cast<uint8_t>(values[i] - bias);
    table.words[i / 4] |= static_cast<uint32_t>(byte) << (8 * (i % 4));
  }
  return table;
}

// Of the codes in the low 16 bits; `codes` without their highest bits, and `halves` 0x3210 with
// those at bit 2 of each nibble.
QK_DEVICE uint32_t look_up_four(const ByteTable& table, uint32_t codes, uint32_t halves) {
  const uint32_t lower = __byte_perm(table.words[0], table.words[1], codes);
  const uint32_t upper = __byte_perm(table.words[2], table.words[3], codes);
  return __byte_perm(lower, upper, halves);
}

// The values of a word's eight codes: those of the bytes' low nibbles, or of the high ones.
QK_DEVICE uint32_t look_up_nibbles(const ByteTable& table, uint32_t word, int high) {
  const uint32_t codes = word & 0x77777777u;
  const uint32_t halves = (word >> 1 & 0x44444444u) | 0x32103210u;
  const uint32_t first = look_up_four(table, codes, halves);
  const uint32_t second = look_up_four(table, codes >> 16, halves >> 16);
  return __byte_perm(first, second, high != 0 ? 0x7531 : 0x6420);
}

}  // namespace qk::cuda
