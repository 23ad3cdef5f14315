// Rows of weights to float32, through each format's own decode().
#pragma once

#include "formats/format.h"

namespace qk {

// I only keeps each ISA's copy apart: decode() is the same bits on all of them.
template <class F, class I>
void decode_row(const uint8_t* row, int64_t k, float* out) {
  constexpr int kBlock = F::kInfo.block;
  const auto* blocks = reinterpret_cast<const typename F::Block*>(row);
  const int64_t whole = k / kBlock;
  for (int64_t b = 0; b < whole; ++b) F::decode(blocks[b], out + b * kBlock);
  if (const int64_t rest = k % kBlock; rest != 0) {
    float last[kBlock];
    F::decode(blocks[whole], last);
    for (int64_t i = 0; i < rest; ++i) out[whole * kBlock + i] = last[i];
  }
}

}  // namespace qk
