// What a weight format is to the rest of the code.
//
// A format is a struct with
//   kInfo                    its name, GGUF id, block size and bytes, and what its integers are:
//   all
//                            that documentation, help texts and tools say of it comes from here
//   Block                    the bytes of one block, exactly as they lie in a file
//   decode(block, out)       the reference: kBlock floats, bit for bit as ggml has them, in
//   portable
//                            code
// and, for the kernels, a description in terms of an ISA's idioms (a template parameter, so that
// formats never include an ISA). Kernels see weights in *units* of kUnit = 256: one superblock, or
// 256 / kBlock small blocks.
//
//   float formats, which derive from Floats:
//     floats<I>(unit, v)     the v-th native vector of the unit's weights
//   quantised formats, which derive from Quantised<QuantRange{...}>
//     quants<I>(unit, step)  the step-th vector of I::kStep quants, as unsigned bytes
//     scales<I>(unit, scale, min)  one float a group, eight to a vector; the mins when kHasMin
//
// In portable code a quantised format says what its integers are without their scales, weight =
// scale * integer + min (formats/integers.h):
//   set_scales_to_one(block)   every scale 1, every min 0: decode() then gives quant - kBias
//   scale_and_min(block, g)    what its g-th kGroup weights share, rounded as decode() has them
// and, where there is such a definition, how weights become a block of it:
//   encode(x, block)           false where the block cannot hold them (quantize/quantizer.h)
//
// Much of this comes with the bases of formats/one_scale.h (blocks with one scale),
// formats/blocks_of_32.h (those of 32 weights) and formats/octets.h (quants that no idiom loads).
// The rest is formats/panel.h, the packed layout.
#pragma once

#include <cstddef>
#include <cstdint>

#include "core/macros.h"

namespace qk {

inline constexpr int kUnit = 256;  // weights a kernel step covers, and values in an activation unit
inline constexpr int kActivationGroup = 32;  // activations that share a scale
inline constexpr int kGroupsPerUnit = kUnit / kActivationGroup;

struct FormatInfo {
  const char* name;                // GGUF's, in lower case
  int gguf_id = -1;                // ggml_type, or -1 for a format without one
  int file_type = -1;              // general.file_type of a file of it, or -1 where there is none
  int block;                       // weights a block
  int bytes;                       // bytes a block
  const char* integers = nullptr;  // what its integers are, in words; null of floats
};

// What the stored quants of a format are: weight = scale * (quant - bias) + min.
struct QuantRange {
  int most;              // the largest value that one takes, 0..255
  int bias = 0;          // a power of two or 0
  int zero = bias;       // the quant whose integer is 0: integer = quant - zero, an int8
  int group = 32;        // weights that share a scale: 32, 16 or 8
  int min_group = 32;    // weights that share a min: 32 or 16
  bool has_min = false;  // whether min is ever non-zero
};

// The bases of the formats: of quantised ones, and of floats.
template <QuantRange kRange>
struct Quantised {
  static constexpr bool kFloat = false;
  static constexpr int kGroup = kRange.group;
  static constexpr int kMinGroup = kRange.min_group;
  static constexpr int kMaxQuant = kRange.most;
  static constexpr int kBias = kRange.bias;
  static constexpr int kZero = kRange.zero;
  static constexpr bool kHasMin = kRange.has_min;
};
struct Floats {
  static constexpr bool kFloat = true;
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
