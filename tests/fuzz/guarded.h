// Memory with a page behind it that nobody may touch: reading or writing one byte past the end is a
// segmentation fault, in intrinsics too, where no sanitizer looks.
#pragma once

#include <cstddef>
#include <cstdint>
#include <sys/mman.h>
#include <unistd.h>

#include "finding.h"

namespace qk::fuzz {

class Guarded {
 public:
  explicit Guarded(size_t capacity) {
    const auto page = static_cast<size_t>(::sysconf(_SC_PAGESIZE));
    capacity_ = (capacity + page - 1) / page * page;
    const size_t whole = capacity_ + 2 * page;
    void* pages = ::mmap(nullptr, whole, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    QK_FINDING_UNLESS(pages != MAP_FAILED, "no %zu bytes", whole);
    begin_ = static_cast<uint8_t*>(pages) + page;
    const int result = ::mprotect(begin_, capacity_, PROT_READ | PROT_WRITE);
    QK_FINDING_UNLESS(result == 0, "mprotect gives %d", result);
  }
  Guarded(const Guarded&) = delete;
  Guarded& operator=(const Guarded&) = delete;

  // `size` bytes that end `before_end` bytes before the guard page.
  uint8_t* take(int64_t size, int64_t before_end = 0) {
    const auto wanted = static_cast<size_t>(size + before_end);
    QK_FINDING_UNLESS(wanted <= capacity_, "%zu bytes of %zu", wanted, capacity_);
    return begin_ + (capacity_ - wanted);
  }

 private:
  uint8_t* begin_;
  size_t capacity_;
};

}  // namespace qk::fuzz
