// The loops that products of every layout share: a range of rows against all batch rows.
//
// A Product is what one row, or one panel of rows, takes:
//   kColumns                        batch rows that it multiplies at once, 4 or more
//   run<C>(args, row, columns)      row against columns.count <= C batch rows from columns.first on
// kColumns is as many as the ISA has registers for sums; C is 1, 4 or kColumns.
#pragma once

#include "kernels/activation_unit.h"
#include "kernels/table.h"

namespace qk::QK_ISA {
namespace {

struct Columns {
  int64_t first;
  int count;
};

// The first unit of each of C batch rows. Where there are fewer, the last one stands in for the
// rest, whose sums are not stored.
template <Act A, int C>
QK_INLINE void first_units(const LinearArgs& args, Columns columns, const Unit<A>* (&x)[C]) {
  for (int j = 0; j < C; ++j) {
    const int64_t column = columns.first + (j < columns.count ? j : columns.count - 1);
    x[j] = reinterpret_cast<const Unit<A>*>(args.units) + column * args.units_per_row;
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
  constexpr int kColumns = Product::kColumns;
  // Rows that repeat one another, of stride 0, are all there at once.
  const int64_t fitting = args.row_stride > 0 ? kCacheBytes / args.row_stride : end - begin;
  const int64_t at_once = fitting > 1 ? fitting : 1;
  for (int64_t first = begin; first < end; first += at_once) {
    const int64_t last = end - first < at_once ? end : first + at_once;
    for (int64_t column = 0; column < args.m; column += kColumns) {
      const int64_t left = args.m - column;
      const Columns columns{column, left < kColumns ? static_cast<int>(left) : kColumns};
      for (int64_t row = first; row < last; ++row) {
        if (columns.count <= 2) {  // four at once take longer than one after the other
          for (int j = 0; j < columns.count; ++j) {
            Product::template run<1>(args, row, {columns.first + j, 1});
          }
        } else if (columns.count <= 4) {
          Product::template run<4>(args, row, columns);
        } else {
          Product::template run<kColumns>(args, row, columns);
        }
      }
    }
  }
}

}  // namespace
}  // namespace qk::QK_ISA
