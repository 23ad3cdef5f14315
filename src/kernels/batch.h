// The loops that products of every layout share: a range of rows against all batch rows.
//
// A Product is what one row, or one panel of rows, takes:
//   kAct                      the activations that it reads
//   kBatchRows                batch rows that it multiplies at once: 1, or 4 or more
//   run<C>(args, row, batch)  row against batch.count <= C batch rows from batch.first on
// kBatchRows is as many as the ISA has registers for sums, or 1 where it has no vectors; C is 1, 4
// or kBatchRows.
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

// Never inlined, so that a product of one batch row is compiled once.
template <class Product>
QK_NOINLINE void product_vector(const LinearArgs& args, int64_t begin, int64_t end) {
  for (int64_t row = begin; row < end; ++row) Product::template run<1>(args, row, {0, 1});
}

// Some batch rows at once. Never inlined, so that each number of them has registers of its own.
template <class Product, int C>
QK_NOINLINE void product_at_once(const LinearArgs& args, int64_t row, BatchRows batch) {
  Product::template run<C>(args, row, batch);
}

// One batch row of several.
template <class Product>
QK_INLINE LinearArgs batch_row_of(const LinearArgs& args, int64_t batch_row) {
  LinearArgs one = args;
  one.units += batch_row * args.units_per_row * static_cast<int64_t>(sizeof(Unit<Product::kAct>));
  one.row_scales += batch_row;
  one.m = 1;
  if (args.bias != nullptr) one.bias += batch_row * args.bias_stride;
  one.out += batch_row * args.out_stride;
  return one;
}

// Some batch rows one after the other, for each row of weights.
template <class Product>
QK_INLINE void product_one_by_one(const LinearArgs& args, int64_t begin, int64_t end,
                                  BatchRows batch) {
  LinearArgs single[2];
  for (int j = 0; j < batch.count; ++j) single[j] = batch_row_of<Product>(args, batch.first + j);
  for (int64_t row = begin; row < end; ++row) {
    for (int j = 0; j < batch.count; ++j) product_vector<Product>(single[j], row, row + 1);
  }
}

// A batch that has sums in registers, for each row of weights.
template <class Product>
QK_INLINE void product_of_batch(const LinearArgs& args, int64_t begin, int64_t end,
                                BatchRows batch) {
  constexpr int kBatchRows = Product::kBatchRows;
  if (kBatchRows == 1 || batch.count <= 2) {  // four at once take longer than one by one
    product_one_by_one<Product>(args, begin, end, batch);
    return;
  }
  if constexpr (kBatchRows > 1) {
    for (int64_t row = begin; row < end; ++row) {
      if (batch.count <= 4) {
        product_at_once<Product, 4>(args, row, batch);
      } else {
        product_at_once<Product, kBatchRows>(args, row, batch);
      }
    }
  }
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
      const int count = left < kBatchRows ? static_cast<int>(left) : kBatchRows;
      product_of_batch<Product>(args, first, last, {batch_row, count});
    }
  }
}

}  // namespace
}  // namespace qk::QK_ISA
