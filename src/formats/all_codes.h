// The list of formats, in part: each weight is a code, of a table or of base 3.
#pragma once

#include "formats/format.h"
#include "formats/iq4_nl.h"
#include "formats/iq4_xs.h"
#include "formats/mxfp4.h"
#include "formats/nvfp4.h"
#include "formats/tq1_0.h"
#include "formats/tq2_0.h"

namespace qk {

// clang-format off
using CodeFormats = FormatList<
    IQ4_NL,
    IQ4_XS,
    TQ1_0,
    TQ2_0,
    MXFP4,
    NVFP4>;
// clang-format on

}  // namespace qk
