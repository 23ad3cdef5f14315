// One ISA's kernels for float data. Compiled once an ISA, as kernels/table.cpp is.
#include "isa/idioms.h"
#include "kernels/attention.h"
#include "kernels/attention_scores.h"
#include "kernels/dense.h"
#include "kernels/elementwise.h"
#include QK_ISA_HEADER

namespace qk::QK_ISA {

extern const DenseKernels dense_kernels;

namespace {

template <Idioms I>
constexpr DenseKernels make_dense_kernels() {
  return {
      .attention = {&attention<I, CacheType::kF32>, &attention<I, CacheType::kF16>},
      .attention_scores = &attention_scores<I>,
      .sum_squares = &sum_squares<I>,
      .normalise = &normalise<I>,
      .gate = &gate<I>,
      .to_halves = &to_halves<I>,
  };
}

}  // namespace

constinit const DenseKernels dense_kernels = make_dense_kernels<Isa>();

}  // namespace qk::QK_ISA
