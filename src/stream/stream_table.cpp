// One ISA's streaming micro-kernels. Compiled once an ISA, as kernels/table.cpp is.
#include "stream/stream_table.h"

#include "isa/idioms.h"
#include "stream/kernels.h"
#include QK_ISA_HEADER

namespace qk::QK_ISA {

extern const StreamKernels stream_kernels;

namespace {

template <Idioms I>
constexpr StreamKernels make_stream_kernels() {
  return {
      .run = {nullptr, &stream<I, StreamKernel::kDotprod>, &stream<I, StreamKernel::kDotprod4>,
              &stream<I, StreamKernel::kDotprod4i>, &stream<I, StreamKernel::kDotprod16i>},
  };
}

}  // namespace

constinit const StreamKernels stream_kernels = make_stream_kernels<Isa>();

}  // namespace qk::QK_ISA
