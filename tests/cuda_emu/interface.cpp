// What tests written in Python ask of the emulated device: emulator.h, as C functions.
#include <cstdint>
#include <cstdio>
#include <string>

#include "emulator.h"

#define QK_EXPORT extern "C" __attribute__((visibility("default")))

QK_EXPORT void qk_emulated_set_devices(int32_t count, int32_t major, int32_t minor) {
  cuda_emu::set_devices(count, major, minor);
}

QK_EXPORT void qk_emulated_set_driver_missing(int32_t missing) {
  cuda_emu::set_driver_missing(missing != 0);
}

// The numbers of cuda_emu::Capture.
QK_EXPORT void qk_emulated_set_capture(int32_t capture) {
  cuda_emu::set_capture(static_cast<cuda_emu::Capture>(capture));
}
QK_EXPORT int32_t qk_emulated_capture(void) { return static_cast<int32_t>(cuda_emu::capture()); }

QK_EXPORT void qk_emulated_set_owner_of_host_memory(int32_t device) {
  cuda_emu::set_owner_of_host_memory(device);
}

// Fills `text` with the calls since the log was last taken, a line each, as many as fit. Returns
// how many there were.
QK_EXPORT int32_t qk_emulated_take_log(char* text, int32_t bytes) {
  std::string lines;
  int32_t count = 0;
  for (const std::string& line : cuda_emu::take_log()) {
    lines += line + "\n";
    ++count;
  }
  std::snprintf(text, static_cast<size_t>(bytes), "%s", lines.c_str());
  return count;
}
