// The list of formats, in part: eight or four weights at a time are looked up in a grid.
#pragma once

#include "formats/format.h"
#include "formats/iq1_m.h"
#include "formats/iq1_s.h"
#include "formats/iq2_s.h"
#include "formats/iq2_xs.h"
#include "formats/iq2_xxs.h"
#include "formats/iq3_s.h"
#include "formats/iq3_xxs.h"

namespace qk {

// clang-format off
using GridFormats = FormatList<
    IQ1_S,
    IQ1_M,
    IQ2_XXS,
    IQ2_XS,
    IQ2_S,
    IQ3_XXS,
    IQ3_S>;
// clang-format on

}  // namespace qk
