// The kernels, by format, layout, activations and columns; and the sources that hold them.
//
// Each gemv_*.cu instantiates the kernels of some formats and defines their kernels_of(), so that
// compilers share the work; table.cpp puts them in the order of the formats.
#pragma once

#include <cstdint>

#include "cuda/args.h"

namespace qk::cuda {

using GemvKernel = void (*)(GemvArgs);
using DecodeKernel = void (*)(DecodeArgs);

// What a format needs to be packed and multiplied. Of a format that is aligned as it lies in a
// file, the packed layout is the native one.
struct FormatKernels {
  GemvKernel gemv[kLayouts][kActs][kColumnClasses];
  DecodeKernel dequantize[kLayouts];
  bool packs;    // whether the packed layout is another
  bool recoded;  // whether the fields are of what formats recode blocks to
  int field_count;
  Field fields[kMostFields];
  int weights_per_step;              // of a row that a warp multiplies at a time
  int weights_per_thread[kLayouts];  // that a thread decodes
};

template <class F>
FormatKernels kernels_of();

const FormatKernels& kernels_of(int format);

// Kernels that no format has its own of.
using ActivateKernel = void (*)(ActivateArgs);
ActivateKernel activate_kernel(Act act);

using ElementKernel = void (*)(ElementArgs);
ElementKernel element_kernel();

}  // namespace qk::cuda
