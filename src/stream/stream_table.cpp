// One ISA's streaming micro-kernels. Compiled once an ISA, as kernels/table.cpp
// is.
#include "stream/stream_table.h"

#include "stream/kernels.h"
#include QK_ISA_HEADER

namespace qk::QK_ISA {

extern const StreamKernels stream_kernels;
constinit const StreamKernels stream_kernels{
    .run = {nullptr, &stream<Isa, StreamKernel::kDotprod>, &stream<Isa, StreamKernel::kDotprod4>,
            &stream<Isa, StreamKernel::kDotprod4i>, &stream<Isa, StreamKernel::kDotprod16i>},
};

}  // namespace qk::QK_ISA
