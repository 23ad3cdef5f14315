// The result of every operation that can fail: a code and a message that names the values at fault.
//
// A Status owns its text in a fixed buffer, so reporting an error never allocates, and it can cross
// the C interface by value. The bindings turn each code into one Python exception type.
#pragma once

#include <cstdint>

#include "core/macros.h"

namespace qk {

// NOLINTNEXTLINE(performance-enum-size): an int, as C has it
enum class Code : int {
  kOk = 0,
  kType,    // TypeError: a wrong dtype or kind of object
  kValue,   // ValueError: a wrong shape, format, range or file
  kIndex,   // IndexError: an id outside the rows it selects from
  kOs,      // OSError: the operating system refused; os_error holds errno
  kMemory,  // MemoryError
};

// What "%lld" takes.
inline long long ll(int64_t value) { return static_cast<long long>(value); }

struct [[nodiscard]] Status {
  Code code = Code::kOk;
  int os_error = 0;
  char message[240];

  // Of the text the end alone is written: calls return ok by the dozen.
  Status() { message[0] = '\0'; }

  bool ok() const { return code == Code::kOk; }

  static Status type_error(const char* format, ...) QK_PRINTF(1, 2);
  static Status value_error(const char* format, ...) QK_PRINTF(1, 2);
  static Status index_error(const char* format, ...) QK_PRINTF(1, 2);
  static Status memory_error(const char* format, ...) QK_PRINTF(1, 2);
  static Status os_failure(int os_error, const char* format, ...) QK_PRINTF(2, 3);
};

}  // namespace qk

// Leaves the calling function with the status of `expression` unless it is ok.
#define QK_TRY(expression)                                        \
  do {                                                            \
    if (::qk::Status qk_status = (expression); !qk_status.ok()) { \
      return qk_status;                                           \
    }                                                             \
  } while (false)
