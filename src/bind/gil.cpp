#include "bind/gil.h"

#include <unistd.h>

namespace qk::bind {

void take_gil(PyThreadState* state) noexcept {
  try {
    PyEval_RestoreThread(state);
  } catch (...) {
    // The unwinding of a thread that is to end: to leave this handler would end the process.
    for (;;) ::pause();
  }
}

}  // namespace qk::bind
