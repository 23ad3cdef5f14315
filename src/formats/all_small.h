// The list of formats, in part: small blocks of weights with a scale of their own.
#pragma once

#include "formats/format.h"
#include "formats/q1_0.h"
#include "formats/q2_0.h"
#include "formats/q4_0.h"
#include "formats/q4_1.h"
#include "formats/q5_0.h"
#include "formats/q5_1.h"
#include "formats/q8_0.h"
#include "formats/q8_1.h"

namespace qk {

// clang-format off
using SmallFormats = FormatList<
    Q1_0,
    Q2_0,
    Q4_0,
    Q4_1,
    Q5_0,
    Q5_1,
    Q8_0,
    Q8_1>;
// clang-format on

}  // namespace qk
