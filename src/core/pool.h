// The library's thread pool.
//
// A job is a range [0, n) cut into one contiguous share a thread, so that repeated calls touch the
// same rows from the same core. A thread takes four fifths of its share at once and the rest in
// chunks; who is done takes chunks of the shares that are not. A worker that has not woken up in
// time is therefore never waited for: the others do its share.
//
// Workers spin for some tens of microseconds after a job and then sleep. One job runs at a time; a
// call that finds the pool busy runs on its own thread. After a fork the child starts with a new
// pool.
#pragma once

#include <atomic>
#include <cstdint>

#include "core/parallel.h"

namespace qk {

inline constexpr int kMaxThreads = 256;

class Pool {
 public:
  // The pool of this process, made on first use and never destroyed.
  static Pool& shared();

  // Runs fn over [0, n) on up to `threads` threads, the caller among them.
  void run(int threads, int64_t n, int64_t grain, RangeFn fn, void* context);

  // This pool as a Parallel of `threads` threads.
  Parallel parallel(int threads);

 private:
  struct alignas(64) Share {
    Pool* pool = nullptr;  // where the share has a worker
    std::atomic<int64_t> next{0};
    int64_t end = 0;
    int64_t first_take = 0;  // what the share's own thread takes at its first visit
    std::atomic<uint32_t> call{
        0};  // the epoch of the last job that the share's worker is wanted in
  };

  void open(int shares, int64_t n, int64_t grain, RangeFn fn, void* context);
  void close();
  void work(int self);
  void drain(Share& share, int64_t first_take);
  void grow(int workers);
  void worker(int self);
  static void* start_worker(void* share);
  static uint32_t wait_for_job(const Share& mine, uint32_t seen);

  Share shares_[kMaxThreads];
  int share_count_ = 0;
  int64_t chunk_ = 1;
  RangeFn fn_ = nullptr;
  void* context_ = nullptr;

  // Odd while a job is open. A worker first raises active_, then looks at epoch_ again; the caller
  // first closes epoch_, then waits for active_ to be 0: one of the two always sees the other.
  alignas(64) std::atomic<uint32_t> epoch_{0};
  alignas(64) std::atomic<int> active_{0};
  std::atomic<bool> busy_{false};
  int workers_ = 0;
};

}  // namespace qk
