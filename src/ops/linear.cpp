#include "ops/linear.h"

#include <algorithm>

#include "core/checked.h"
#include "formats/registry.h"
#include "ops/packed_rows.h"
#include "ops/shapes.h"
#include "ops/tiles.h"

namespace qk {
namespace {

// A range is worth another thread from about 32 K multiplications on, a few microseconds.
constexpr int64_t kGrainWork = 32768;

// A product that was checked, in items: rows, or panels of rows.
class Items {
 public:
  Status prepare(const KernelTable& kernels, const ActivationsView& x, const Product& product) {
    const WeightView& weights = *product.weights;
    QK_TRY(check_linear(kernels, x, product));
    const FormatInfo& info = format_at(weights.format).info;
    const auto m_class = static_cast<int>(x.m == 1 ? MClass::kVector : MClass::kMatrix);
    const auto kernel_of = [&](Layout layout) -> const LinearKernel& {
      return kernels.formats->kernels[weights.format]
          ->linear[static_cast<int>(layout)][static_cast<int>(x.act)][m_class];
    };
    weights_ = &weights;
    kernel_ = &kernel_of(weights.layout);
    args_ = {.weights = weights.data,
             .row_stride = weights.row_stride * kernel_->panel_rows,
             .n = weights.n,
             .blocks = ceil_div(weights.k, info.block),
             .units = x.units,
             .units_per_row = x.units_per_row,
             .row_scales = x.row_scales,
             .m = x.m,
             .bias = product.bias,
             .bias_stride = product.bias_stride,
             .out = product.out,
             .out_stride = product.out_stride};
    rows_ = kernel_->panel_rows;
    by_panels_ = weights.layout == Layout::kNative && x.m >= kPackedBatch &&
                 !format_at(weights.format).is_float;
    if (by_panels_) {
      const LinearKernel& packed = kernel_of(Layout::kPanels);
      packed_rows_ = PackedRows(weights, packed);
      rows_ = packed.panel_rows;
    }
    return {};
  }

  int64_t count() const { return ceil_div(args_.n, rows_); }
  int64_t rows() const { return rows_; }

  // The fewest items that are worth a thread, of rows k deep, where there are batch rows.
  int64_t grain(int64_t k) const {
    const int64_t columns = args_.m < kGrainWork ? args_.m : kGrainWork;
    return ceil_div(kGrainWork, k * columns * rows_);
  }

  // The whole product by tiles, where that is possible and pays.
  bool by_tiles(const Parallel& parallel, const KernelTable& kernels,
                const ActivationsView& x) const {
    return x.m >= kPackedBatch && linear_by_tiles(parallel, kernels, *weights_, x, args_, *kernel_);
  }

  void run(int64_t begin, int64_t end) const {
    if (!by_panels_) {
      kernel_->run(args_, begin, end);
    } else if (!packed_rows_(args_, begin, end)) {
      const int64_t last = end * rows_ < args_.n ? end * rows_ : args_.n;
      kernel_->run(args_, begin * rows_, last);
    }
  }

 private:
  const WeightView* weights_ = nullptr;
  const LinearKernel* kernel_ = nullptr;
  LinearArgs args_{};
  PackedRows packed_rows_;
  int64_t rows_ = 1;
  bool by_panels_ = false;
};

}  // namespace

Status check_linear(const KernelTable& kernels, const ActivationsView& x, const Product& product) {
  const WeightView& weights = *product.weights;
  if (x.kernels != &kernels) {
    return Status::value_error("the activations were quantised for %s; the ISA in use is %s",
                               x.kernels->isa, kernels.isa);
  }
  QK_TRY(check_product(weights, x.k));
  if (x.act != effective_act(weights.format, x.act)) {
    return Status::value_error("%s weights take float32 activations; these are %s",
                               format_at(weights.format).info.name, act_name(x.act));
  }
  return {};
}

Status linear(const Parallel& parallel, const KernelTable& kernels, const ActivationsView& x,
              const Product* products, int count) {
  if (count > kMostProducts) {
    return Status::value_error("%d products in a call, at most %d", count, kMostProducts);
  }
  Items items[kMostProducts];
  for (int i = 0; i < count; ++i) QK_TRY(items[i].prepare(kernels, x, products[i]));
  if (x.m == 0) return {};
  int left = 0;  // those that tiles have not multiplied
  int64_t total = 0;
  int64_t grain = 1;
  for (int i = 0; i < count; ++i) {
    if (items[i].by_tiles(parallel, kernels, x)) continue;
    items[left] = items[i];
    total += items[left].count();
    grain = std::max(grain, items[left].grain(x.k));
    ++left;
  }
  auto run = [&](int64_t begin, int64_t end) {
    for (int i = 0; i < left && begin < end; ++i) {
      const int64_t own = items[i].count();
      if (begin < own) items[i].run(begin, std::min(end, own));
      begin = std::max<int64_t>(begin - own, 0);
      end -= own;
    }
  };
  parallel(total, grain, run);
  return {};
}

Status gated(const Parallel& parallel, const KernelTable& kernels, const ActivationsView& x,
             const Product& gate, const Product& up) {
  if (gate.weights->n != up.weights->n) {
    return Status::value_error("the gate has n=%lld rows, up has %lld",
                               static_cast<long long>(gate.weights->n),
                               static_cast<long long>(up.weights->n));
  }
  Items gates;
  Items ups;
  QK_TRY(gates.prepare(kernels, x, gate));
  QK_TRY(ups.prepare(kernels, x, up));
  if (x.m == 0) return {};
  const int64_t n = gate.weights->n;
  if (gates.by_tiles(parallel, kernels, x) && ups.by_tiles(parallel, kernels, x)) {
    auto finish = [&](int64_t begin, int64_t end) {
      for (int64_t j = begin; j < end; ++j) {
        kernels.dense->gate(gate.out + j * gate.out_stride, up.out + j * up.out_stride, n);
      }
    };
    parallel(x.m, 1, finish);
    return {};
  }
  // Where one comes in rows and the other in panels, ranges are of whole panels.
  const int64_t rows = std::max(gates.rows(), ups.rows());
  auto run = [&](int64_t begin, int64_t end) {
    const int64_t last = std::min(end * rows, n);
    gates.run(begin * rows / gates.rows(), ceil_div(last, gates.rows()));
    ups.run(begin * rows / ups.rows(), ceil_div(last, ups.rows()));
    for (int64_t j = 0; j < x.m; ++j) {
      kernels.dense->gate(gate.out + j * gate.out_stride + begin * rows,
                          up.out + j * up.out_stride + begin * rows, last - begin * rows);
    }
  };
  parallel(ceil_div(n, rows), ceil_div(gates.grain(x.k) * gates.rows(), 2 * rows), run);
  return {};
}

}  // namespace qk
