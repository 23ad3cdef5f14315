// A job of several threads: a range cut into one contiguous share a thread, so that repeated calls
// touch the same rows from the same core. A thread takes four fifths of its share at once and the
// rest in chunks; who is done takes chunks of the shares that are not. A thread that does not come
// is therefore never waited for: the others do its share.
#pragma once

#include <atomic>
#include <cstdint>

#include "core/parallel.h"

namespace qk {

inline constexpr int kMaxThreads = 256;

class Job {
 public:
  // fn over [0, n), n >= shares, by 1 to kMaxThreads threads.
  Job(int shares, int64_t n, int64_t grain, RangeFn fn, void* context);

  // Does the share `self` and what is left of the others. When it returns, all has been taken.
  void work(int self);

 private:
  struct alignas(64) Share {
    std::atomic<int64_t> next;
    int64_t end;
    int64_t first_take;  // what the share's own thread takes at its first visit
  };
  union Shares {  // of which those that a job has are made
    Shares() {}
    Share each[kMaxThreads];
  };

  void drain(Share& share, int64_t first_take);

  int count_;
  int64_t chunk_;
  RangeFn fn_;
  void* context_;
  Shares shares_;
};

// How many threads a range is worth, of those that are there.
int shares_of(int threads, int64_t n, int64_t grain);

}  // namespace qk
