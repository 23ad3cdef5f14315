// A growable block of aligned memory, for scratch, activations and packed weights.
#pragma once

#include <cstddef>
#include <cstdlib>
#include <memory>

#include "core/checked.h"
#include "core/status.h"

namespace qk {

inline constexpr int64_t kCacheLine = 64;

class AlignedBuffer {
 public:
  AlignedBuffer() = default;
  explicit AlignedBuffer(int64_t alignment) : alignment_(alignment) {}  // a power of two

  // Makes at least `bytes` usable; what was stored before is lost when the buffer grows.
  Status reserve(int64_t bytes) {
    if (bytes <= capacity_) return {};
    const auto alignment = static_cast<size_t>(alignment_);
    int64_t rounded;
    if (bytes < 0 || !checked_round_up(bytes, alignment_, &rounded)) {
      return Status::memory_error("cannot allocate %lld bytes", ll(bytes));
    }
    memory_.reset();
    capacity_ = 0;
    // NOLINTNEXTLINE(cppcoreguidelines-owning-memory): memory_ frees it
    memory_.reset(std::aligned_alloc(alignment, static_cast<size_t>(rounded)));
    if (!memory_) {
      return Status::memory_error("cannot allocate %lld bytes", ll(rounded));
    }
    capacity_ = rounded;
    return {};
  }

  void release() {
    memory_.reset();
    capacity_ = 0;
  }

  std::byte* data() const { return static_cast<std::byte*>(memory_.get()); }
  int64_t capacity() const { return capacity_; }

 private:
  struct Free {
    // NOLINTNEXTLINE(cppcoreguidelines-owning-memory,cppcoreguidelines-no-malloc): the owner itself
    void operator()(void* memory) const { std::free(memory); }
  };
  std::unique_ptr<void, Free> memory_;
  int64_t capacity_ = 0;
  int64_t alignment_ = kCacheLine;
};

}  // namespace qk
