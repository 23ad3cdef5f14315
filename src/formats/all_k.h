// The list of formats, in part: superblocks of 256 weights whose groups have scales.
#pragma once

#include "formats/format.h"
#include "formats/q2_k.h"
#include "formats/q3_k.h"
#include "formats/q4_k.h"
#include "formats/q5_k.h"
#include "formats/q6_k.h"
#include "formats/q8_k.h"
#include "formats/q8_ks.h"

namespace qk {

// clang-format off
using KFormats = FormatList<
    Q2_K,
    Q3_K,
    Q4_K,
    Q5_K,
    Q6_K,
    Q8_K,
    Q8_KS>;
// clang-format on

}  // namespace qk
