// The conversions of core/half.h against slow ones in double precision.
#include <cmath>
#include <cstdint>
#include <initializer_list>
#include <limits>
#include <random>

#include "check.h"
#include "core/half.h"

namespace qk {
namespace {

constexpr int kHalfs = 65536;
constexpr uint16_t kHalfInfinity = 0x7c00;
constexpr uint16_t kBfloatInfinity = 0x7f80;
constexpr uint16_t kSign = 0x8000;

bool is_half_nan(uint16_t bits) { return (bits & ~kSign) > kHalfInfinity; }
bool is_bfloat_nan(uint16_t bits) { return (bits & ~kSign) > kBfloatInfinity; }

double value_of_half(uint16_t bits) {
  const int exponent = (bits >> 10) & 31;
  const int mantissa = bits & 1023;
  double magnitude = std::ldexp(1024 + mantissa, exponent - 25);
  if (exponent == 0) magnitude = std::ldexp(mantissa, -24);
  if (exponent == 31) magnitude = std::numeric_limits<double>::infinity();
  return (bits & kSign) != 0 ? -magnitude : magnitude;
}

// Halfs of one sign ascend with their bits, so the nearest one is a search away.
uint16_t nearest_half(float value) {
  const auto sign = static_cast<uint16_t>(std::signbit(value) ? kSign : 0);
  if (std::isnan(value)) return static_cast<uint16_t>(sign | 0x7e00);
  const double magnitude = std::fabs(static_cast<double>(value));
  if (magnitude >= 65520.0) return static_cast<uint16_t>(sign | kHalfInfinity);
  uint16_t low = 0;
  uint16_t high = kHalfInfinity;
  while (high - low > 1) {
    const auto middle = static_cast<uint16_t>((low + high) / 2);
    (value_of_half(middle) <= magnitude ? low : high) = middle;
  }
  const double below = magnitude - value_of_half(low);
  const double above = (high == kHalfInfinity ? 65536.0 : value_of_half(high)) - magnitude;
  const bool up = above < below || (above == below && low % 2 == 1);
  return static_cast<uint16_t>(sign | (up ? high : low));
}

uint16_t nearest_bfloat(float value) {
  const uint32_t bits = bits_of_float(value);
  const auto low = static_cast<uint16_t>(bits >> 16);
  if (std::isnan(value)) return static_cast<uint16_t>(low | 0x40);
  if (std::isinf(value)) return low;
  const auto high = static_cast<uint16_t>(low + 1);
  const double exact = std::fabs(static_cast<double>(value));
  const double below = exact - std::fabs(static_cast<double>(bfloat_to_float(low)));
  const double next = (high & ~kSign) == kBfloatInfinity
                          ? 0x1p128
                          : std::fabs(static_cast<double>(bfloat_to_float(high)));
  const double above = next - exact;
  return above < below || (above == below && low % 2 == 1) ? high : low;
}

void check_both(float value) {
  if (float_to_half(value) == nearest_half(value) &&
      float_to_bfloat(value) == nearest_bfloat(value)) {
    return;
  }
  const test::Context context("value %a, bits %08x", static_cast<double>(value),
                              bits_of_float(value));
  QK_CHECK_EQ(float_to_half(value), nearest_half(value));
  QK_CHECK_EQ(float_to_bfloat(value), nearest_bfloat(value));
}

void check_around(float value) {
  constexpr float kInfinity = std::numeric_limits<float>::infinity();
  for (const float v :
       {value, std::nextafter(value, -kInfinity), std::nextafter(value, kInfinity)}) {
    check_both(v);
    check_both(-v);
  }
}

QK_TEST(every_half_has_the_value_that_its_fields_say) {
  for (int i = 0; i < kHalfs; ++i) {
    const auto bits = static_cast<uint16_t>(i);
    const float value = half_to_float(bits);
    if (is_half_nan(bits)) {
      QK_CHECK(std::isnan(value));
    } else {
      QK_CHECK_EQ(static_cast<double>(value), value_of_half(bits));
    }
    QK_CHECK_EQ(std::signbit(value), (bits & kSign) != 0);
  }
}

QK_TEST(every_half_survives_a_round_trip_through_float) {
  for (int i = 0; i < kHalfs; ++i) {
    const auto bits = static_cast<uint16_t>(i);
    const uint16_t back = float_to_half(half_to_float(bits));
    if (is_half_nan(bits)) {
      QK_CHECK(is_half_nan(back));
    } else {
      QK_CHECK_EQ(back, bits);
    }
  }
}

QK_TEST(every_bfloat_survives_a_round_trip_through_float) {
  for (int i = 0; i < kHalfs; ++i) {
    const auto bits = static_cast<uint16_t>(i);
    const uint16_t back = float_to_bfloat(bfloat_to_float(bits));
    if (is_bfloat_nan(bits)) {
      QK_CHECK(is_bfloat_nan(back));
    } else {
      QK_CHECK_EQ(back, bits);
    }
  }
}

// Denormals, the largest finite value and the first that overflows are all among these.
QK_TEST(ties_between_halfs_go_to_even_and_their_neighbours_to_the_nearest) {
  for (uint16_t bits = 0; bits < kHalfInfinity; ++bits) {
    const double low = value_of_half(bits);
    const double high = bits + 1 == kHalfInfinity ? 65536.0 : value_of_half(bits + 1);
    check_around(static_cast<float>((low + high) / 2));
    check_around(static_cast<float>(low));
  }
}

QK_TEST(ties_between_bfloats_go_to_even_and_their_neighbours_to_the_nearest) {
  for (uint32_t bits = 0; bits < kBfloatInfinity; ++bits) {
    check_around(float_of_bits(bits << 16 | 0x8000u));
  }
}

QK_TEST(arbitrary_floats_go_to_the_nearest) {
  std::mt19937 random(1);
  for (int i = 0; i < 200000; ++i) {
    check_both(float_of_bits(static_cast<uint32_t>(random())));
  }
}

QK_TEST(infinities_and_nans_keep_their_kind_and_sign) {
  for (const uint32_t bits : {0x7f800000u, 0xff800000u, 0x7f800001u, 0xff800001u, 0x7fbfffffu,
                              0x7fc00000u, 0xffffffffu, 0x7fffffffu}) {
    check_both(float_of_bits(bits));
  }
}

}  // namespace
}  // namespace qk
