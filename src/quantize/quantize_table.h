// One ISA's quantisers, by format: a constant beside its KernelTable. Their blocks are the same on
// every ISA.
#pragma once

#include "formats/all.h"
#include "quantize/quantizer.h"

namespace qk {

struct QuantizeKernels {
  Quantizer quantizers[kFormats];
};

}  // namespace qk
