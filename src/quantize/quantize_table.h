// One ISA's quantisers, by format: a constant beside its KernelTable. Their blocks are the same on
// every ISA.
#pragma once

#include <cstdint>

#include "formats/format.h"

namespace qk {

// Writes `blocks` blocks that stand for as many weights x, all of them finite but where the format
// keeps others. `importance` is null or has what each weight's squared error is multiplied by,
// above 0 and at most 1. False where a block cannot hold its weights, which would decode to
// infinities.
using QuantizeFn = bool (*)(const float* x, const float* importance, int64_t blocks, uint8_t* out);

struct Quantizer {
  QuantizeFn run = nullptr;
  bool takes_importance = false;
  bool keeps_nonfinite = false;  // a NaN or an infinity has a code of its own
};

struct QuantizeKernels {
  Quantizer quantizers[kMostFormats];
};

}  // namespace qk
