// The library's thread pool.
//
// A caller takes the workers that are idle, posts its job to each of them, and does the job with
// those that come (core/job.h); from those that have not come by its end it takes the job back.
// Calls from several threads at once therefore run beside one another, and each takes its part of
// the processors only: with two callers half of the threads that it asks for. After a fork the child
// starts with a new pool.
//
// An idle worker stays awake while the next job is likely to come soon (core/awake.h), and then
// sleeps.
#pragma once

#include <atomic>
#include <cstdint>

#include "core/job.h"
#include "core/parallel.h"

namespace qk {

class Pool {
 public:
  // The pool of this process, made on first use and never destroyed.
  static Pool& shared();

  // Runs fn over [0, n) on up to `threads` threads, the caller among them.
  void run(int threads, int64_t n, int64_t grain, RangeFn fn, void* context);

  // This pool as a Parallel of `threads` threads.
  Parallel parallel(int threads);

 private:
  // Who has taken a worker posts one job to it, under the next number. What a caller sleeps on is the
  // worker's and not its own, since a worker may still be about to wake it when it has gone.
  struct alignas(64) Worker {
    std::atomic<bool> taken{false};  // by a caller, until its job is done or taken back
    std::atomic<Job*> posted{nullptr};
    int share = 0;  // of the job, and the post's number
    uint32_t number = 0;
    std::atomic<uint32_t> posts{0};  // the number of the last post: what it sleeps on
    std::atomic<uint32_t> done{0};   // the number of the last post that it did
    std::atomic<int> thread{0};      // for push_away()
    int64_t missed_since = 0;        // when it first did not come, in microseconds; 0: it comes
  };

  int take(int wanted, Worker** workers);
  void grow(int workers);
  static uint32_t post(Worker& worker, Job& job, int share);
  static bool take_back(Worker& worker, Job& job);
  static void note_missing(Worker& worker);
  static void wait_for(const Worker& worker, uint32_t number, int64_t patience);
  static void* run_worker(void* self);
  static uint32_t wait_for_post(const Worker& worker, uint32_t seen, int64_t awake);

  Worker workers_[kMaxThreads - 1];
  std::atomic<int> worker_count_{0};
  std::atomic<bool> grows_{false};
  alignas(64) std::atomic<int> callers_{0};
};

}  // namespace qk
