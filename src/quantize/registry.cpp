#include "quantize/registry.h"

#include <cstring>

#include "dispatch/dispatch.h"
#include "quantize/quantize_table.h"

namespace qk {

// An ISA that adds tiles to another has that one's quantisers, whose name is then here twice.
// NOLINTNEXTLINE(readability-redundant-declaration)
#define QK_ISA(name, base) extern const QuantizeKernels quantize_kernels_##base;
#include "quantize/isa_list.inc"
#undef QK_ISA

namespace {

struct QuantizeIsa {
  const char* name;
  const QuantizeKernels* kernels;
};

#define QK_ISA(name, base) {#name, &quantize_kernels_##base},
constexpr QuantizeIsa kIsas[] = {
#include "quantize/isa_list.inc"
};
#undef QK_ISA

}  // namespace

const Quantizer& quantizer_of(int format) {
  const char* current = current_kernels().isa;
  for (const QuantizeIsa& isa : kIsas) {
    if (std::strcmp(isa.name, current) == 0) return isa.kernels->quantizers[format];
  }
  return kIsas[0].kernels->quantizers[format];  // scalar: needs nothing
}

}  // namespace qk
