// Written by scripts/make_format_files.py from tests/format_facts.py: of the sectors that each
// native request of a warp touches, the part that it asks for at least. Negative where blocks that
// are not packed are read by the byte.
#pragma once

namespace qk::test {

struct LoadShare {
  const char* format;
  double share;
};

// clang-format off
inline constexpr LoadShare kLoadShares[] = {
    {"f32", 0.5},
    {"f16", 0.7},
    {"bf16", 0.7},
    {"q4_0", 0.11},
    {"q4_1", 0.19},
    {"q5_0", 0.09},
    {"q5_1", 0.33},
    {"q8_0", 0.11},
    {"q8_1", 0.19},
    {"q2_k", 0.19},
    {"q3_k", 0.08},
    {"q4_k", 0.7},
    {"q5_k", 0.7},
    {"q6_k", 0.11},
    {"q8_k", 0.23},
    {"q8_ks", 0.23},
    {"iq1_s", -1},
    {"iq1_m", -1},
    {"iq2_xxs", -1},
    {"iq2_xs", -1},
    {"iq2_s", -1},
    {"iq3_xxs", -1},
    {"iq3_s", -1},
    {"iq4_nl", 0.11},
    {"iq4_xs", 0.3},
    {"q1_0", 0.19},
    {"q2_0", -1},
    {"tq1_0", -1},
    {"tq2_0", 0.08},
    {"mxfp4", 0.058},
    {"nvfp4", 0.2},
};
// clang-format on

}  // namespace qk::test
