// One ISA's kernels for float data. Compiled once an ISA, as kernels/table.cpp is, with
// QK_DENSE_TABLE the symbol to define.
#include "kernels/attention.h"
#include "kernels/attention_scores.h"
#include "kernels/dense.h"
#include "kernels/elementwise.h"
#include QK_ISA_HEADER

namespace qk {

using QK_ISA::Isa;

extern const DenseKernels QK_DENSE_TABLE;
constinit const DenseKernels QK_DENSE_TABLE{
    .attention = {&attention<Isa, CacheType::kF32>, &attention<Isa, CacheType::kF16>},
    .attention_scores = &attention_scores<Isa>,
    .sum_squares = &sum_squares<Isa>,
    .normalise = &normalise<Isa>,
    .gate = &gate<Isa>,
    .to_halves = &to_halves<Isa>,
};

}  // namespace qk
