#include "ops/linear.h"

#include "core/aligned.h"
#include "core/checked.h"
#include "formats/registry.h"
#include "ops/pack.h"
#include "ops/shapes.h"
#include "ops/tiles.h"

namespace qk {
namespace {

// From so many batch rows on, packing a panel, or decoding it for tiles, takes less time than its
// product then gains.
constexpr int64_t kPackedBatch = 16;
constexpr int64_t kScratchBytes = 64 << 10;  // what malloc keeps, where it would map more anew

// Native rows against a batch by way of panels, which are packed some at a time into scratch that
// stays in cache. False where there is no memory for one panel, with nothing written.
class PackedRows {
 public:
  PackedRows(const WeightView& weights, const LinearArgs& args, const LinearKernel& kernel)
      : weights_(weights), args_(args), kernel_(kernel) {
    int64_t row_bytes = 0;
    is_possible_ =
        packed_row_bytes(weights.format, weights.k, &row_bytes).ok() &&
        packed_bytes(kernel.panel_rows, row_bytes, kernel.panel_rows, &panel_bytes_).ok();
  }

  // Panels [begin, end).
  bool operator()(int64_t begin, int64_t end) const {
    const int rows = kernel_.panel_rows;
    if (!is_possible_) return false;
    const int64_t fitting = kScratchBytes / panel_bytes_;
    const int64_t wanted = fitting < 1 ? 1 : fitting;
    const int64_t at_once = wanted < end - begin ? wanted : end - begin;
    AlignedBuffer scratch;
    if (!scratch.reserve(at_once * panel_bytes_).ok()) return false;
    auto* panels = reinterpret_cast<uint8_t*>(scratch.data());
    for (int64_t first = begin; first < end; first += at_once) {
      const int64_t count = end - first < at_once ? end - first : at_once;
      run(first * rows, count, panels);
    }
    return true;
  }

 private:
  void run(int64_t first_row, int64_t panel_count, uint8_t* panels) const {
    const int64_t left = weights_.n - first_row;
    const int64_t most = panel_count * kernel_.panel_rows;
    WeightView slice = weights_;
    slice.data += first_row * weights_.row_stride;
    slice.n = left < most ? left : most;
    pack(alone(), slice, kernel_.panel_rows, panels);
    LinearArgs args = args_;
    args.weights = panels;
    args.row_stride = panel_bytes_;
    args.n = slice.n;
    args.out += first_row;
    if (args.bias != nullptr) args.bias += first_row;
    kernel_.run(args, 0, panel_count);
  }

  const WeightView& weights_;
  const LinearArgs& args_;
  const LinearKernel& kernel_;
  int64_t panel_bytes_ = 0;
  bool is_possible_ = false;
};

}  // namespace

Status linear(const Parallel& parallel, const WeightView& weights, const ActivationsView& x,
              const float* bias, float* out, int64_t out_stride) {
  QK_TRY(check_product(weights, x.k));
  const FormatInfo& info = format_at(weights.format).info;
  if (x.act != effective_act(weights.format, x.act)) {
    return Status::value_error("%s weights take float32 activations; these are %s", info.name,
                               act_name(x.act));
  }
  if (x.m == 0) return {};
  const MClass m_class = x.m == 1 ? MClass::kVector : MClass::kMatrix;
  const auto kernel_of = [&](Layout layout) -> const LinearKernel& {
    return x.kernels->formats->linear[static_cast<int>(layout)][weights.format]
                                     [static_cast<int>(x.act)][static_cast<int>(m_class)];
  };
  const LinearKernel& kernel = kernel_of(weights.layout);
  const LinearArgs args{.weights = weights.data,
                        .row_stride = weights.row_stride * kernel.panel_rows,
                        .n = weights.n,
                        .blocks = ceil_div(weights.k, info.block),
                        .units = x.units,
                        .units_per_row = x.units_per_row,
                        .row_scales = x.row_scales,
                        .m = x.m,
                        .bias = bias,
                        .out = out,
                        .out_stride = out_stride};
  if (x.m >= kPackedBatch && linear_by_tiles(parallel, weights, x, args, kernel)) return {};
  // A range is worth another thread from about 32 K multiplications on, a few microseconds.
  constexpr int64_t kGrainWork = 32768;
  const auto over_rows = [&](int rows_at_once, auto body) {
    const int64_t work = weights.k * (x.m < kGrainWork ? x.m : kGrainWork) * rows_at_once;
    parallel(ceil_div(weights.n, rows_at_once), ceil_div(kGrainWork, work), body);
  };
  if (weights.layout == Layout::kNative && x.m >= kPackedBatch &&
      !format_at(weights.format).is_float) {
    const LinearKernel& packed_kernel = kernel_of(Layout::kPanels);
    const int64_t rows = packed_kernel.panel_rows;
    const PackedRows by_panels(weights, args, packed_kernel);
    over_rows(packed_kernel.panel_rows, [&](int64_t begin, int64_t end) {
      if (by_panels(begin, end)) return;
      const int64_t last = end * rows < weights.n ? end * rows : weights.n;
      kernel.run(args, begin * rows, last);
    });
    return {};
  }
  over_rows(kernel.panel_rows, [&](int64_t begin, int64_t end) { kernel.run(args, begin, end); });
  return {};
}

}  // namespace qk
