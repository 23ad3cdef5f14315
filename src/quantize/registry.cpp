#include "quantize/registry.h"

#include "formats/all.h"
#include "quantize/eight_bits.h"
#include "quantize/floats.h"
#include "quantize/iq4.h"
#include "quantize/k_quants.h"
#include "quantize/k_quants_with_mins.h"
#include "quantize/mxfp4.h"
#include "quantize/ternary.h"
#include "quantize/weighted_blocks.h"

namespace qk {
namespace {

struct Table {
  Quantizer quantizers[kFormats];
};

template <class... Fs>
constexpr Table make_table(FormatList<Fs...>) {
  return {{kQuantizer<Fs>...}};
}

constexpr Table kTable = make_table(AllFormats{});

}  // namespace

const Quantizer& quantizer_of(int format) { return kTable.quantizers[format]; }

}  // namespace qk
