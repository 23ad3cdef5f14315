#include "gguf/cursor.h"

#include <cstdio>

namespace qk::gguf {

Status Cursor::failure(const char* what) const {
  return Status::value_error("%s needs %llu bytes at byte %lld, with %lld left%s", what,
                             static_cast<unsigned long long>(wanted_), ll(wanted_at_),
                             ll(end_ - wanted_at_), limit());
}

Status Cursor::failure(const char* what, std::string_view name) const {
  char named[160];
  std::snprintf(named, sizeof(named), "%s %s", what, Quoted(name).text());
  return failure(named);
}

Quoted::Quoted(std::string_view name) {
  constexpr size_t kShown = 72;  // GGML's own names have at most 63 bytes
  size_t used = 0;
  text_[used++] = '\'';
  for (const char c : name) {
    const auto byte = static_cast<unsigned char>(c);
    const bool plain = byte >= 0x20 && byte < 0x7f;
    if (used + (plain ? 1 : 4) > kShown + 1) {
      std::snprintf(text_ + used, sizeof(text_) - used, "...'");
      return;
    }
    if (plain) {
      text_[used++] = c;
    } else {
      used +=
          static_cast<size_t>(std::snprintf(text_ + used, sizeof(text_) - used, "\\x%02x", byte));
    }
  }
  std::snprintf(text_ + used, sizeof(text_) - used, "'");
}

}  // namespace qk::gguf
