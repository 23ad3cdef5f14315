#include "core/awake.h"

#include <cstdlib>

namespace qk {
namespace {

constexpr const char* kVariable = "QKERNELS_SPIN";
constexpr int64_t kDefault = 4000;
constexpr int64_t kMost = 1000000;

const char* variable() {
  // NOLINTNEXTLINE(concurrency-mt-unsafe): nobody here writes it
  const char* value = std::getenv(kVariable);
  return value != nullptr && *value != '\0' ? value : nullptr;
}

// -1 where the text is no number of microseconds.
int64_t parse(const char* text) {
  char* rest = nullptr;
  const long long number = std::strtoll(text, &rest, 10);
  return rest == text || *rest != '\0' || number < 0 || number > kMost ? -1 : number;
}

}  // namespace

int64_t most_awake() {
  static const int64_t kMicroseconds = [] {
    const char* value = variable();
    const int64_t number = value == nullptr ? kDefault : parse(value);
    return number < 0 ? kDefault : number;
  }();
  return kMicroseconds;
}

Status check_awake_variable() {
  const char* value = variable();
  if (value == nullptr || parse(value) >= 0) return {};
  return Status::value_error("%s='%.40s' is not a number of microseconds, 0 to %lld", kVariable,
                             value, static_cast<long long>(kMost));
}

}  // namespace qk
