// Fills FormatKernels in for quantised formats.
#pragma once

#include "cuda/dequantize.h"
#include "cuda/gemv.h"
#include "cuda/kernels.h"
#include "cuda/slices_default.h"
#include "formats/format.h"

namespace qk::cuda {

template <class S, Layout L, Act A>
void add_gemv(FormatKernels& kernels) {
  auto& of = kernels.gemv[static_cast<int>(L)][static_cast<int>(A)];
  of[0] = &gemv<S, L, A, batch_rows_of_class(0)>;
  of[1] = &gemv<S, L, A, batch_rows_of_class(1)>;
  of[2] = &gemv<S, L, A, batch_rows_of_class(2)>;
}

template <class S, Layout L>
void add_layout(FormatKernels& kernels) {
  add_gemv<S, L, Act::kInt8>(kernels);
  add_gemv<S, L, Act::kInt16>(kernels);
  add_gemv<S, L, Act::kFloat32>(kernels);
  kernels.dequantize[static_cast<int>(L)] = &dequantize<S, L>;
  kernels.weights_per_thread[static_cast<int>(L)] = S::kWeights;
}

template <class F>
FormatKernels describe() {
  using Native = Slices<F, Layout::kNative>;
  using Packed = Slices<F, Layout::kPlanes>;
  FormatKernels kernels{};
  kernels.weights_per_step = kWarp * Native::kWeights;
  add_layout<Native, Layout::kNative>(kernels);
  if constexpr (packs<Packed>()) {
    kernels.packs = true;
    kernels.recoded = Packed::kRecoded;
    for (const Field& field : Packed::kFields) kernels.fields[kernels.field_count++] = field;
    add_layout<Packed, Layout::kPlanes>(kernels);
  }
  return kernels;
}

template <class... Fs>
FamilyKernels<FormatList<Fs...>> describe_all(FormatList<Fs...>) {
  return {{describe<Fs>()...}};
}

}  // namespace qk::cuda
