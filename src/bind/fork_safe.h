// Locks of objects that a forked child has a copy of.
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>

#include "core/os.h"

namespace qk::bind {

// A mutex that a forked child finds free. Which thread of the parent held it does not matter there:
// it is not in the child, and would never unlock it. What it had begun to append is not there
// either, since lengths and positions are set last.
template <class Mutex>
class ForkSafe {
 public:
  // This process's mutex. Called without holding it.
  Mutex& here() {
    const int64_t now = process_id();
    int64_t known = process_.load(std::memory_order_acquire);
    while (known != now) {
      if (known != kRenewing && process_.compare_exchange_weak(known, kRenewing)) {
        static_cast<void>(mutex_.release());  // to destroy one that is locked is undefined
        mutex_ = std::make_unique<Mutex>();
        process_.store(now, std::memory_order_release);
      }
      known = process_.load(std::memory_order_acquire);
    }
    return *mutex_;
  }

 private:
  static constexpr int64_t kRenewing = -1;

  std::unique_ptr<Mutex> mutex_ = std::make_unique<Mutex>();
  std::atomic<int64_t> process_{process_id()};
};

}  // namespace qk::bind
