// The kernels, by format, layout, activations and batch rows; and the sources that hold them.
//
// Each gemv_*.cu holds the kernels of a family of formats (formats/all.h), so that compilers share
// the work.
#pragma once

#include <cstdint>

#include "cuda/args.h"

namespace qk::cuda {

using GemvKernel = void (*)(GemvArgs);
using DecodeKernel = void (*)(DecodeArgs);

// What a format needs to be packed and multiplied. Of a format that is aligned as it lies in a
// file, the packed layout is the native one.
struct FormatKernels {
  GemvKernel gemv[kLayouts][kActs][kBatchClasses];
  DecodeKernel dequantize[kLayouts];
  bool packs;    // whether the packed layout is another
  bool recoded;  // whether the fields are of what formats recode blocks to
  int field_count;
  Field fields[kMostFields];
  int weights_per_step;              // of a row that a warp multiplies at a time
  int weights_per_thread[kLayouts];  // that a thread decodes
};

const FormatKernels& kernels_of(int format);

// The kernels of the formats of a list, in its order.
template <class List>
struct FamilyKernels {
  FormatKernels formats[List::kCount];
};
template <class List>
FamilyKernels<List> family_kernels();

// Kernels that no format has its own of.
using ActivateKernel = void (*)(ActivateArgs);
ActivateKernel activate_kernel(Act act);

using ElementKernel = void (*)(ElementArgs);
ElementKernel element_kernel();

}  // namespace qk::cuda
