// The list of formats, a family at a time. Its order is the order of qkernels.formats() and of every
// kernel table. What is compiled for one family includes the list of that one alone.
#pragma once

#include "formats/all_codes.h"
#include "formats/all_floats.h"
#include "formats/all_grids.h"
#include "formats/all_k.h"
#include "formats/all_small.h"
#include "formats/format.h"

namespace qk {

using AllFormats = Concatenated<FloatFormats, SmallFormats, KFormats, GridFormats, CodeFormats>;

inline constexpr int kFormats = AllFormats::kCount;
static_assert(kFormats <= kMostFormats);

}  // namespace qk
