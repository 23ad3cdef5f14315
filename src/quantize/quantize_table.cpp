// One ISA's quantisers. Compiled once an ISA, as kernels/table.cpp is, with QK_QUANTIZE_TABLE the
// symbol to define.
#include "quantize/quantize_table.h"

// Each of these gives kQuantizer for its formats.
// NOLINTBEGIN(misc-include-cleaner)
#include "quantize/eight_bits.h"
#include "quantize/floats.h"
#include "quantize/iq4.h"
#include "quantize/k_quants.h"
#include "quantize/k_quants_with_mins.h"
#include "quantize/mxfp4.h"
#include "quantize/ternary.h"
#include "quantize/weighted_blocks.h"
// NOLINTEND(misc-include-cleaner)
#include QK_ISA_HEADER

namespace qk {

extern const QuantizeKernels QK_QUANTIZE_TABLE;

namespace {

template <class... Fs>
constexpr QuantizeKernels make_table(FormatList<Fs...>) {
  return {{kQuantizer<Fs, QK_ISA::Isa>...}};
}

}  // namespace

constinit const QuantizeKernels QK_QUANTIZE_TABLE = make_table(AllFormats{});

}  // namespace qk
