// The list of formats, in part: weights that are floats themselves.
#pragma once

#include "formats/bf16.h"
#include "formats/f16.h"
#include "formats/f32.h"
#include "formats/format.h"

namespace qk {

// clang-format off
using FloatFormats = FormatList<
    F32,
    F16,
    BF16>;
// clang-format on

}  // namespace qk
