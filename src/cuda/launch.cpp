#include "cuda/launch.h"

#include <algorithm>

#include "core/checked.h"
#include "cuda/activations.h"
#include "cuda/kernels.h"
#include "cuda/packing.h"
#include "formats/registry.h"

namespace qk::cuda {
namespace {

constexpr int64_t kMostGridY = 65535;
// Each block of a batch row reads all of its x: more would read more than they quantise.
constexpr int64_t kMostActivateBlocks = 16;

template <class Args>
cudaError_t launch(void (*kernel)(Args), const Args& args, int64_t grid_x, int64_t grid_y,
                   int threads, LaunchOn on) {
  cudaLaunchAttribute attribute;
  attribute.id = cudaLaunchAttributeProgrammaticStreamSerialization;
  attribute.val.programmaticStreamSerializationAllowed = 1;
  cudaLaunchConfig_t config{};
  config.gridDim = dim3(static_cast<unsigned>(grid_x), static_cast<unsigned>(grid_y));
  config.blockDim = dim3(static_cast<unsigned>(threads));
  config.stream = on.stream;
  config.attrs = &attribute;
  config.numAttrs = on.dependent ? 1 : 0;
  return cudaLaunchKernelEx(&config, kernel, args);
}

// How many warps share a row: of k alone, so that a row's bits do not depend on n. Each lane has
// then something to do, and up to kWarps times as many loads are on their way.
int warps_per_row(int64_t k, int weights_per_step) {
  const int64_t steps = ceil_div(k, weights_per_step);
  if (steps >= 4) return 4;
  return steps >= 2 ? 2 : 1;
}

// The layout that kernels see: of a format that does not pack, the native one.
Layout layout_of(const qk_cuda_weights& weights) {
  const auto layout = static_cast<Layout>(weights.layout);
  return is_native(weights.format, layout) ? Layout::kNative : layout;
}

int64_t blocks_of(const qk_cuda_weights& weights) {
  return ceil_div(weights.k, format_at(weights.format).info.block);
}

Epilogue epilogue_of(const qk_cuda_product& product) {
  Epilogue epilogue{};
  epilogue.y = product.y.data;
  epilogue.y_stride = product.y.stride;
  epilogue.bias = product.bias;
  epilogue.up_bias = product.up_bias;
  epilogue.bias_stride = product.bias_stride;
  epilogue.batch_rows = static_cast<int>(product.columns);
  epilogue.type = static_cast<Type>(product.y.dtype);
  epilogue.function = static_cast<Function>(product.function);
  epilogue.gated = product.up != nullptr;
  return epilogue;
}

}  // namespace

cudaError_t launch_activate(const qk_cuda_matrix& x, int32_t act, void* activations, LaunchOn on) {
  ActivateArgs args{};
  args.x = x.data;
  args.stride = x.stride;
  args.k = x.columns;
  args.units = ceil_div(x.columns, 256);
  args.batch_rows = static_cast<int>(x.rows);
  args.type = static_cast<Type>(x.dtype);
  args.out = static_cast<uint8_t*>(activations);
  const int batch_rows = batch_rows_of_class(batch_class(x.rows));
  const int64_t groups_at_once = kActivateThreads / kWarp;
  const int64_t blocks = std::min(ceil_div(8 * args.units, groups_at_once), kMostActivateBlocks);
  return launch(activate_kernel(static_cast<Act>(act)), args, batch_rows, blocks, kActivateThreads,
                on);
}

cudaError_t launch_product(const qk_cuda_product& product, LaunchOn on) {
  const qk_cuda_weights& weights = product.weights;
  const FormatKernels& kernels = kernels_of(weights.format);
  GemvArgs args{};
  args.weights = static_cast<const uint8_t*>(weights.data);
  args.up = static_cast<const uint8_t*>(product.up);
  args.row_stride = weights.row_stride;
  args.planes = planes_of(weights.format, weights.k);
  args.n = weights.n;
  args.blocks = blocks_of(weights);
  args.warps_per_row = warps_per_row(weights.k, kernels.weights_per_step);
  args.activations = static_cast<const uint8_t*>(product.activations);
  args.epilogue = epilogue_of(product);
  const int64_t pairs = args.epilogue.gated ? weights.n : ceil_div(weights.n, kRows);
  const int64_t blocks = ceil_div(pairs, kWarps / args.warps_per_row);
  const auto& of = kernels.gemv[static_cast<int>(layout_of(weights))][product.act];
  return launch(of[batch_class(product.columns)], args, blocks, 1, kGemvThreads, on);
}

cudaError_t launch_dequantize(const qk_cuda_weights& weights, const qk_cuda_matrix& out,
                              LaunchOn on) {
  const FormatKernels& kernels = kernels_of(weights.format);
  const Layout layout = layout_of(weights);
  DecodeArgs args{};
  args.weights = static_cast<const uint8_t*>(weights.data);
  args.row_stride = weights.row_stride;
  args.planes = planes_of(weights.format, weights.k);
  args.n = weights.n;
  args.k = weights.k;
  args.blocks = blocks_of(weights);
  args.out = out.data;
  args.out_stride = out.stride;
  args.type = static_cast<Type>(out.dtype);
  const int64_t weights_each = kernels.weights_per_thread[static_cast<int>(layout)];
  const int64_t block = format_at(weights.format).info.block;
  const int64_t threads = ceil_div(ceil_div(weights.k, block) * block, weights_each);
  return launch(kernels.dequantize[static_cast<int>(layout)], args,
                ceil_div(threads, kDecodeThreads), std::min(weights.n, kMostGridY), kDecodeThreads,
                on);
}

cudaError_t launch_apply(const qk_cuda_matrix& values, const void* bias, int32_t bias_dtype,
                         int32_t function, LaunchOn on) {
  ElementArgs args{};
  args.values = values.data;
  args.rows = values.rows;
  args.columns = values.columns;
  args.stride = values.stride;
  args.bias = bias;
  args.type = static_cast<Type>(values.dtype);
  args.bias_type = static_cast<Type>(bias_dtype);
  args.function = static_cast<Function>(function);
  return launch(element_kernel(), args, ceil_div(values.columns, kElementThreads),
                std::min(values.rows, kMostGridY), kElementThreads, on);
}

}  // namespace qk::cuda
