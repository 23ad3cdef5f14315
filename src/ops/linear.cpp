#include "ops/linear.h"

#include "core/checked.h"
#include "formats/registry.h"
#include "ops/shapes.h"

namespace qk {

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
  const LinearKernel& kernel =
      x.kernels->linear[static_cast<int>(weights.layout)][weights.format][static_cast<int>(x.act)]
                       [static_cast<int>(m_class)];
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
  auto rows = [&](int64_t begin, int64_t end) { kernel.run(args, begin, end); };
  // A range is worth another thread from about 32 K multiplications on, a few microseconds.
  constexpr int64_t kGrainWork = 32768;
  const int64_t row_work = weights.k * (x.m < kGrainWork ? x.m : kGrainWork) * kernel.panel_rows;
  parallel(ceil_div(weights.n, kernel.panel_rows), ceil_div(kGrainWork, row_work), rows);
  return {};
}

}  // namespace qk
