#include "core/status.h"

#include <cstdarg>
#include <cstdio>

namespace qk {
namespace {

Status make(Code code, const char* format, va_list args) {
  Status status;
  status.code = code;
  std::vsnprintf(status.message, sizeof(status.message), format, args);
  return status;
}

}  // namespace

Status Status::type_error(const char* format, ...) {
  va_list args;
  va_start(args, format);
  const Status status = make(Code::kType, format, args);
  va_end(args);
  return status;
}

Status Status::value_error(const char* format, ...) {
  va_list args;
  va_start(args, format);
  const Status status = make(Code::kValue, format, args);
  va_end(args);
  return status;
}

Status Status::index_error(const char* format, ...) {
  va_list args;
  va_start(args, format);
  const Status status = make(Code::kIndex, format, args);
  va_end(args);
  return status;
}

Status Status::memory_error(const char* format, ...) {
  va_list args;
  va_start(args, format);
  const Status status = make(Code::kMemory, format, args);
  va_end(args);
  return status;
}

Status Status::os_failure(int os_error, const char* format, ...) {
  va_list args;
  va_start(args, format);
  Status status = make(Code::kOs, format, args);
  va_end(args);
  status.os_error = os_error;
  return status;
}

}  // namespace qk
