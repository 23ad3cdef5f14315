// What the environment says.
#pragma once

#include <cstdlib>

namespace qk {

// The value of a variable; null where it is not set, or empty.
inline const char* variable(const char* name) {
  // NOLINTNEXTLINE(concurrency-mt-unsafe): nobody here writes it
  const char* value = std::getenv(name);
  return value != nullptr && *value != '\0' ? value : nullptr;
}

}  // namespace qk
