// The kernel table: what one ISA offers, as function pointers. It is all that the dispatcher sees.
//
// A table is constant data, so that looking at it never runs code the CPU may lack.
#pragma once

#include <cstddef>
#include <cstdint>

#include "core/macros.h"
#include "core/views.h"
#include "kernels/activation_unit.h"
#include "kernels/dense.h"

namespace qk {

struct QuantizeKernels;  // quantize/quantize_table.h
struct StreamKernels;    // stream/stream_table.h
struct TileKernels;      // kernels/tile_kernels.h

// How many batch rows a kernel is made for.
enum class MClass : uint8_t { kVector, kMatrix };
inline constexpr int kMClasses = 2;

// out[j * out_stride + row] = x[j] . weights[row] + bias[j * bias_stride + row], where bias may be
// out
struct LinearArgs {
  const uint8_t* weights;
  int64_t row_stride;      // bytes from one row to the next, or from one panel
  int64_t n;               // rows
  int64_t blocks;          // blocks a row
  const std::byte* units;  // (m, units) activation units, zero past k
  int64_t units_per_row;
  const float* row_scales;  // (m)
  int64_t m;
  const float* bias;    // (n), (m, n) or null
  int64_t bias_stride;  // floats between batch rows; 0 where all have the same
  float* out;
  int64_t out_stride;  // floats between batch rows
};

// Computes rows, or panels of rows, [begin, end) for every batch row; writes nothing else.
using LinearFn = void (*)(const LinearArgs& args, int64_t begin, int64_t end);

struct LinearKernel {
  LinearFn run;
  int panel_rows;  // rows that lie together in the layout; 1 in the native one
};

// Decodes the first k weights of a row into out.
using DecodeFn = void (*)(const uint8_t* row, int64_t k, float* out);

// The largest |x| of 256 values, as the bits of a float; >= 0x7f800000 when one is not finite.
using MagnitudeFn = uint32_t (*)(const float* x);

// Writes the unit of 256 values x * multiplier. Values are finite except under float32.
using ActivateFn = void (*)(const float* x, float multiplier, std::byte* unit);

// What is compiled for a format.
struct FormatKernels {
  LinearKernel linear[kLayouts][kActs][kMClasses];
  DecodeFn decode;
};

// By format, in the order of formats/all.h: where its products of integers are, and where products
// with float32 activations and decoding, which are another ISA's where this one is like it.
struct FormatTable {
  const FormatKernels* integers[kMostFormats];
  const FormatKernels* floats[kMostFormats];
};

// What makes the activations that they read.
struct ActivationKernels {
  MagnitudeFn magnitude;
  ActivateFn activate[kActs];
};

// An ISA. One that adds tiles to another has that one's other kernels.
struct KernelTable {
  const char* isa;
  uint64_t needs;  // core/cpu.h features
  bool for_tests;  // runs when it is forced, is never chosen
  const FormatTable* formats;
  const ActivationKernels* activations;
  const DenseKernels* dense;
  const StreamKernels* streams;
  const QuantizeKernels* quantizers;
  const TileKernels* tiles[kActs];  // null where it multiplies by vectors only

  // What multiplies m batch rows with weights in a layout: RowProduct of kernels/linear.h
  // or PanelProduct of kernels/panels.h. kernels/family.h fills the table.
  QK_INLINE const LinearKernel& linear_kernel(Layout layout, int format, Act act, int64_t m) const {
    const MClass m_class = m == 1 ? MClass::kVector : MClass::kMatrix;
    const auto& kernels = act == Act::kFloat32 ? formats->floats : formats->integers;
    return kernels[format]
        ->linear[static_cast<int>(layout)][static_cast<int>(act)][static_cast<int>(m_class)];
  }

  // What decodes native rows.
  QK_INLINE DecodeFn decode_kernel(int format) const { return formats->floats[format]->decode; }

  // What makes activations of floats.
  QK_INLINE ActivateFn activate_kernel(Act act) const {
    return activations->activate[static_cast<int>(act)];
  }

  // Null where there are no tiles for such activations.
  QK_INLINE const TileKernels* tile_kernels(Act act) const { return tiles[static_cast<int>(act)]; }
};

}  // namespace qk
