// One ISA's streaming micro-kernels. Compiled once an ISA, as kernels/table.cpp is, with
// QK_STREAM_TABLE the symbol to define.
#include "stream/stream_table.h"

#include "stream/kernels.h"
#include QK_ISA_HEADER

namespace qk {

using QK_ISA::Isa;

extern const StreamKernels QK_STREAM_TABLE;
constinit const StreamKernels QK_STREAM_TABLE{
    .run = {nullptr, &stream<Isa, StreamKernel::kDotprod>, &stream<Isa, StreamKernel::kDotprod4>,
            &stream<Isa, StreamKernel::kDotprod4i>, &stream<Isa, StreamKernel::kDotprod16i>},
};

}  // namespace qk
