// What quants stand for: whole numbers of a range, or the sixteen values of iq4.
#pragma once

#include "formats/code_tables.h"
#include "quantize/lanes.h"

namespace qk::QK_ISA {
namespace {

// kLow..kHigh; a quant is the number less kLow.
template <int kLow, int kHigh>
struct WholeNumbers {
  static constexpr auto kLeast = static_cast<float>(kLow);
  static constexpr auto kMost = static_cast<float>(kHigh);

  // The nearest number.
  static QK_INLINE Lanes nearest(Lanes t) {
    return round_lanes(min_lanes(max_lanes(t, Lanes(kLeast)), Lanes(kMost)));
  }
  static QK_INLINE LaneInts quants(Lanes t) { return to_ints(nearest(t)) - kLow; }
};

// A code's value, and the point from which on the next code is nearer.
QK_INLINE constexpr float iq4_value(int code) {
  return static_cast<float>(kIq4Values[code] - kIq4Bias);
}
QK_INLINE constexpr float iq4_middle(int code) {
  return 0.5f * (iq4_value(code) + iq4_value(code + 1));
}

struct Iq4Codes {
  static constexpr float kLeast = iq4_value(0);
  static constexpr float kMost = iq4_value(15);

  static QK_INLINE Lanes nearest(Lanes t) {
    Lanes found(kLeast);
    for (int code = 0; code < 15; ++code) {
      found = select(t > iq4_middle(code), Lanes(iq4_value(code + 1)), found);
    }
    return found;
  }
  static QK_INLINE LaneInts quants(Lanes t) {
    LaneInts found{};
    for (int code = 0; code < 15; ++code) found -= t > iq4_middle(code);
    return found;
  }
};

}  // namespace
}  // namespace qk::QK_ISA
