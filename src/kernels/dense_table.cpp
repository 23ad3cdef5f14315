// One ISA's kernels for float data. Compiled once an ISA, as kernels/table.cpp is.
#include "kernels/attention.h"
#include "kernels/attention_scores.h"
#include "kernels/dense.h"
#include "kernels/elementwise.h"
#include QK_ISA_HEADER

namespace qk::QK_ISA {

extern const DenseKernels dense_kernels;
constinit const DenseKernels dense_kernels{
    .attention = {&attention<Isa, CacheType::kF32>, &attention<Isa, CacheType::kF16>},
    .attention_scores = &attention_scores<Isa>,
    .sum_squares = &sum_squares<Isa>,
    .normalise = &normalise<Isa>,
    .gate = &gate<Isa>,
    .to_halves = &to_halves<Isa>,
};

}  // namespace qk::QK_ISA
