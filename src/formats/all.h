// The list of formats. Its order is the order of qkernels.formats() and of every kernel table.
#pragma once

#include "formats/bf16.h"
#include "formats/f16.h"
#include "formats/f32.h"
#include "formats/format.h"
#include "formats/q4_0.h"
#include "formats/q4_1.h"
#include "formats/q4_k.h"
#include "formats/q8_0.h"

namespace qk {

using AllFormats = FormatList<  //
    F32,                        //
    F16,                        //
    BF16,                       //
    Q4_0,                       //
    Q4_1,                       //
    Q8_0,                       //
    Q4_K>;

inline constexpr int kFormats = AllFormats::kCount;

}  // namespace qk
