// What a weight format is to the rest of the code.
//
// A format is a struct with
//   kInfo                    its name, GGUF id, block size and bytes
//   Block                    the bytes of one block, exactly as they lie in a file
//   decode(block, out)       the reference: kBlock floats, bit for bit as the `gguf` package's
//                            dequantize, in portable code
// and, for the kernels, a description in terms of an ISA's idioms (a template parameter, so that
// formats never include an ISA). Kernels see weights in *units* of kUnit = 256: one superblock, or
// 256 / kBlock small blocks.
//
// In the same portable code a quantised format says what its integers are without their scales,
// weight = scale * integer + min (formats/integers.h):
//   kZero                      the quant whose integer is 0: integer = quant - kZero, an int8. That
//                              is kBias where there is no min, and else the middle of the quants
//   set_scales_to_one(block)   every scale 1, every min 0: decode() then gives quant - kBias
//   scale_and_min(block, g)    what its g-th kGroup weights share, rounded as decode() has them
//
//   float formats (kFloat = true):
//     floats<I>(unit, v)     the v-th native vector of the unit's weights
//   quantised formats (kFloat = false): weight = scale * (quant - kBias) + min
//     kGroup                 weights that share a scale: 32, 16 or 8
//     kMinGroup              weights that share a min: 32 or 16
//     kMaxQuant              the largest value a stored quant takes, 0..255
//     kBias                  what a stored quant is biased by, a power of two or 0
//     kHasMin                whether min is ever non-zero
//     quants<I>(unit, step)  the step-th vector of I::kStep quants, as unsigned bytes
//     scales<I>(unit, scale, min)  one float a group, eight to a vector; the mins when kHasMin
#pragma once

#include <cstddef>
#include <cstdint>

#include "core/macros.h"

namespace qk {

inline constexpr int kUnit = 256;  // weights a kernel step covers, and values in an activation unit
inline constexpr int kActivationGroup = 32;  // activations that share a scale
inline constexpr int kGroupsPerUnit = kUnit / kActivationGroup;

struct FormatInfo {
  const char* name;  // GGUF's, in lower case
  int gguf_id;       // ggml_type, or -1 for a format without one
  int block;         // weights a block
  int bytes;         // bytes a block
};

// What a group of weights shares: weight = scale * (quant - kBias) + min.
struct ScaleAndMin {
  float scale;
  float min;
};

// Numbers in binary16.
inline constexpr uint16_t kHalfOne = 0x3c00;
inline constexpr uint16_t kHalfFour = 0x4400;
inline constexpr uint16_t kHalfEight = 0x4800;

// One float for each group of kGroup weights in a unit.
template <class I, int kGroup>
struct PerGroup {
  static constexpr int kVectors = kUnit / kGroup / 8;
  typename I::F8 v[kVectors];
};

// A list of types; formats/all.h holds the one list of formats, by families.
template <class... Formats>
struct FormatList {
  static constexpr int kCount = sizeof...(Formats);
};

// An upper bound for their number: what reads tables of formats need not see the formats, whose
// change would compile it again.
inline constexpr int kMostFormats = 64;

// Lists one after another.
template <class... Lists>
struct Concatenation;
template <class... Fs>
struct Concatenation<FormatList<Fs...>> {
  using Type = FormatList<Fs...>;
};
template <class... Fs, class... Gs, class... Lists>
struct Concatenation<FormatList<Fs...>, FormatList<Gs...>, Lists...> {
  using Type = typename Concatenation<FormatList<Fs..., Gs...>, Lists...>::Type;
};
template <class... Lists>
using Concatenated = typename Concatenation<Lists...>::Type;

}  // namespace qk
