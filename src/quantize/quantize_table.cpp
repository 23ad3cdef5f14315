// One ISA's quantisers. Compiled once an ISA, as kernels/table.cpp is.
#include "quantize/quantize_table.h"

#include "formats/all.h"

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

namespace qk::QK_ISA {

extern const QuantizeKernels quantize_kernels;

namespace {

template <class... Fs>
constexpr QuantizeKernels make_table(FormatList<Fs...>) {
  return {{kQuantizer<Fs, Isa>...}};
}

}  // namespace

constinit const QuantizeKernels quantize_kernels = make_table(AllFormats{});

}  // namespace qk::QK_ISA
