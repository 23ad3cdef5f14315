// Bytes and numbers that an input of a fuzz target chooses: its own, as far as they go, over random
// ones from a seed.
#pragma once

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <fuzzer/FuzzedDataProvider.h>
#include <random>
#include <vector>

#include "core/half.h"

namespace qk::fuzz {

inline void fill(FuzzedDataProvider& input, uint8_t* data, int64_t size) {
  std::minstd_rand random(input.ConsumeIntegral<uint32_t>());
  const bool constant = input.ConsumeBool();
  const auto byte = input.ConsumeIntegral<uint8_t>();
  for (int64_t i = 0; i < size; ++i) data[i] = constant ? byte : static_cast<uint8_t>(random());
}

// Over what fill() left, bytes of the input, wherever it says.
inline void overwrite(FuzzedDataProvider& input, uint8_t* data, int64_t size) {
  const auto given = input.ConsumeBytes<uint8_t>(input.ConsumeIntegralInRange<size_t>(0, 400));
  const auto start = input.ConsumeIntegralInRange<int64_t>(0, size - 1);
  for (size_t i = 0; i < given.size(); ++i) {
    data[(start + static_cast<int64_t>(i)) % size] = given[i];
  }
}

// A batch row of values: any bits, or numbers around one magnitude, many of them ties or zeros.
inline void fill_row(FuzzedDataProvider& input, std::vector<float>& row) {
  std::minstd_rand random(input.ConsumeIntegral<uint32_t>());
  const auto kind = input.ConsumeIntegralInRange<int>(0, 3);
  const auto exponent = input.ConsumeIntegralInRange<int>(-149, 127);
  const auto sparsity = input.ConsumeIntegralInRange<uint32_t>(1, 40);
  for (float& value : row) {
    const auto bits = static_cast<uint32_t>(random() * 3u);
    const float unit = static_cast<float>(static_cast<int32_t>(bits)) * 0x1p-31f;
    switch (kind) {
      case 0: value = float_of_bits(bits); break;
      case 1: value = unit; break;
      case 2: value = std::ldexp(unit, exponent); break;
      default: value = std::ldexp(std::nearbyint(unit * 64.0f), exponent - 6); break;
    }
    if (random() % sparsity != 0 && sparsity > 20) value = 0.0f;
  }
  overwrite(input, reinterpret_cast<uint8_t*>(row.data()), static_cast<int64_t>(row.size()) * 4);
}

}  // namespace qk::fuzz
