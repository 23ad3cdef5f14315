// Shapes and sizes as they read in messages.
#pragma once

#include <cstdint>
#include <cstdio>

#include "core/status.h"

namespace qk {

// "(2, 3)" as Python prints it.
struct ShapeText {
  char text[96];
  ShapeText(const int64_t* shape, int ndim) {
    size_t used = 1;
    std::snprintf(text, sizeof(text), "(");
    for (int d = 0; d < ndim && used < sizeof(text); ++d) {
      const char* after = ndim == 1 ? "," : "";
      if (d + 1 < ndim) after = ", ";
      const int written =
          std::snprintf(text + used, sizeof(text) - used, "%lld%s", ll(shape[d]), after);
      used += written > 0 ? static_cast<size_t>(written) : 0;
    }
    if (used < sizeof(text)) std::snprintf(text + used, sizeof(text) - used, ")");
  }
};

}  // namespace qk
