#include "core/awake.h"

#include <cstdlib>

#include "core/environment.h"

namespace qk {
namespace {

constexpr const char* kSpinVariable = "QKERNELS_SPIN";
constexpr int64_t kDefaultSpin = 4000;
constexpr int64_t kMostSpin = 1000000;

// -1 where the text is no number of microseconds.
int64_t parse_spin(const char* text) {
  char* rest = nullptr;
  const long long number = std::strtoll(text, &rest, 10);
  return rest == text || *rest != '\0' || number < 0 || number > kMostSpin ? -1 : number;
}

}  // namespace

int64_t most_awake() {
  static const int64_t kMicroseconds = [] {
    const char* value = variable(kSpinVariable);
    const int64_t number = value == nullptr ? kDefaultSpin : parse_spin(value);
    return number < 0 ? kDefaultSpin : number;
  }();
  return kMicroseconds;
}

Status check_awake_variable() {
  const char* value = variable(kSpinVariable);
  if (value == nullptr || parse_spin(value) >= 0) return {};
  return Status::value_error("%s='%.40s' is not a number of microseconds, 0 to %lld", kSpinVariable,
                             value, static_cast<long long>(kMostSpin));
}

}  // namespace qk
