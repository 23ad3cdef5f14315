// The loops that products of every layout share: a range of rows against all batch rows.
//
// A Product is what one row, or one panel of rows, takes:
//   kBatchRows                batch rows that it multiplies at once, 4 or more
//   run<C>(args, row, batch)  row against batch.count <= C batch rows from batch.first on
// kBatchRows is as many as the ISA has registers for sums; C is 1, 4 or kBatchRows.
#pragma once

#include "kernels/activation_unit.h"
#include "kernels/table.h"

namespace qk::QK_ISA {
namespace {

// Some rows of x.
struct BatchRows {
  int64_t first;
  int count;
};

// The first unit of each of C batch rows. Where there are fewer, the last one stands in for the
// rest, whose sums are not stored.
template <Act A, int C>
QK_INLINE void first_units(const LinearArgs& args, BatchRows batch, const Unit<A>* (&x)[C]) {
  for (int j = 0; j < C; ++j) {
    const int64_t batch_row = batch.first + (j < batch.count ? j : batch.count - 1);
    x[j] = reinterpret_cast<const Unit<A>*>(args.units) + batch_row * args.units_per_row;
  }
}

template <class Product>
void product_vector(const LinearArgs& args, int64_t begin, int64_t end) {
  for (int64_t row = begin; row < end; ++row) Product::template run<1>(args, row, {0, 1});
}

// Rows are taken as many at a time as stay in a core's cache while the batch passes by, and of the
// batch as many as have sums in registers.
template <class Product>
void product_matrix(const LinearArgs& args, int64_t begin, int64_t end) {
  constexpr int64_t kCacheBytes = 128 << 10;
  constexpr int kBatchRows = Product::kBatchRows;
  // Rows that repeat one another, of stride 0, are all there at once.
  const int64_t fitting = args.row_stride > 0 ? kCacheBytes / args.row_stride : end - begin;
  const int64_t at_once = fitting > 1 ? fitting : 1;
  for (int64_t first = begin; first < end; first += at_once) {
    const int64_t last = end - first < at_once ? end : first + at_once;
    for (int64_t batch_row = 0; batch_row < args.m; batch_row += kBatchRows) {
      const int64_t left = args.m - batch_row;
      const BatchRows batch{batch_row, left < kBatchRows ? static_cast<int>(left) : kBatchRows};
      for (int64_t row = first; row < last; ++row) {
        if (batch.count <= 2) {  // four at once take longer than one after the other
          for (int j = 0; j < batch.count; ++j) {
            Product::template run<1>(args, row, {batch.first + j, 1});
          }
        } else if (batch.count <= 4) {
          Product::template run<4>(args, row, batch);
        } else {
          Product::template run<kBatchRows>(args, row, batch);
        }
      }
    }
  }
}

}  // namespace
}  // namespace qk::QK_ISA
