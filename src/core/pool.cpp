#include "core/pool.h"

#include <algorithm>
#include <chrono>
#include <memory>
#include <pthread.h>

#include "core/awake.h"
#include "core/checked.h"
#include "core/doze.h"
#include "core/os.h"

namespace qk {
namespace {

using Clock = std::chrono::steady_clock;

constexpr int64_t kLongestWake = 150;  // microseconds that hardly any worker takes to wake

// How long the others wait for a last chunk, in microseconds: it is a twentieth of a share.
int64_t patience_after(int64_t microseconds) { return std::max<int64_t>(60, microseconds / 8); }

int64_t microseconds_since(Clock::time_point start) {
  return std::chrono::duration_cast<std::chrono::microseconds>(Clock::now() - start).count();
}

std::atomic<Pool*> shared_pool{nullptr};
std::atomic<Pool*> pool_before_fork{nullptr};  // keeps what its lost threads use reachable

void forget_pool_in_child() { pool_before_fork.store(shared_pool.exchange(nullptr)); }

// Counts its caller among those of a pool, as long as it lives.
class Caller {
 public:
  explicit Caller(std::atomic<int>& callers)
      : callers_(callers), count_(callers.fetch_add(1, std::memory_order_relaxed) + 1) {}
  ~Caller() { callers_.fetch_sub(1, std::memory_order_relaxed); }
  Caller(const Caller&) = delete;
  Caller& operator=(const Caller&) = delete;
  int count() const { return count_; }

 private:
  std::atomic<int>& callers_;
  int count_;
};

}  // namespace

Pool& Pool::shared() {
  static const int kRegistered = pthread_atfork(nullptr, nullptr, forget_pool_in_child);
  static_cast<void>(kRegistered);
  Pool* pool = shared_pool.load(std::memory_order_acquire);
  if (pool == nullptr) {
    auto fresh = std::make_unique<Pool>();
    if (shared_pool.compare_exchange_strong(pool, fresh.get())) pool = fresh.release();
  }
  return *pool;
}

Parallel Pool::parallel(int threads) {
  const auto call = [](void* self, int count, int64_t n, int64_t grain, RangeFn fn, void* context) {
    static_cast<Pool*>(self)->run(count, n, grain, fn, context);
  };
  return {call, this, threads};
}

void Pool::run(int threads, int64_t n, int64_t grain, RangeFn fn, void* context) {
  const int most = shares_of(threads, n, grain);
  if (most <= 1) {
    fn(context, 0, n);
    return;
  }
  const Caller caller(callers_);
  const auto part = static_cast<int>(ceil_div(threads, caller.count()));
  const int wanted = std::min(most, part) - 1;
  Worker* workers[kMaxThreads];
  const int count = wanted > 0 ? take(wanted, workers) : 0;
  if (count == 0) {
    fn(context, 0, n);
    return;
  }
  Job job(count + 1, n, grain, fn, context);
  const Clock::time_point start = Clock::now();
  uint32_t numbers[kMaxThreads];
  for (int i = 0; i < count; ++i) numbers[i] = post(*workers[i], job, i + 1);
  job.work(0);
  const int64_t patience = patience_after(microseconds_since(start));
  for (int i = 0; i < count; ++i) {
    if (!take_back(*workers[i], job)) wait_for(*workers[i], numbers[i], patience);
  }
}

// Of the idle workers the first, so that repeated calls have the same ones; with new ones where
// there were never as many.
int Pool::take(int wanted, Worker** workers) {
  if (worker_count_.load(std::memory_order_acquire) < wanted) grow(wanted);
  const int there = worker_count_.load(std::memory_order_acquire);
  int count = 0;
  for (int i = 0; i < there && count < wanted; ++i) {
    Worker& worker = workers_[i];
    if (worker.taken.load(std::memory_order_relaxed)) continue;
    if (!worker.taken.exchange(true, std::memory_order_acquire)) workers[count++] = &worker;
  }
  return count;
}

// Fewer threads than asked for is not an error: their shares are done by others. Nothing is
// allocated, and so nothing throws, on the way to a thread.
void Pool::grow(int workers) {
  if (grows_.exchange(true, std::memory_order_acquire)) return;  // another caller is at it
  int there = worker_count_.load(std::memory_order_relaxed);
  while (there < workers && start_thread(run_worker, &workers_[there])) {
    worker_count_.store(++there, std::memory_order_release);
  }
  grows_.store(false, std::memory_order_release);
}

uint32_t Pool::post(Worker& worker, Job& job, int share) {
  const uint32_t number = worker.posts.load(std::memory_order_relaxed) + 1;
  worker.share = share;
  worker.number = number;
  worker.posted.store(&job, std::memory_order_release);
  worker.posts.store(number, std::memory_order_release);
  worker.posts.notify_one();
  return number;
}

// False where the worker has had the job: it gives itself back, and what is posted to it now is
// another caller's.
bool Pool::take_back(Worker& worker, Job& job) {
  Job* own = &job;
  if (!worker.posted.compare_exchange_strong(own, nullptr, std::memory_order_relaxed)) return false;
  note_missing(worker);
  worker.taken.store(false, std::memory_order_release);
  return true;
}

// A system that wakes a worker on its caller's processor, as virtual machines do whose other
// processors were idle for long, leaves it there for some milliseconds, while its caller works.
void Pool::note_missing(Worker& worker) {
  const int64_t now = microseconds_since({});
  if (worker.missed_since == 0) {
    worker.missed_since = now;
  } else if (now - worker.missed_since > kLongestWake) {
    push_away(worker.thread.load(std::memory_order_relaxed));
    worker.missed_since = now;
  }
}

// A worker that is very late has lost its processor in the middle of a chunk, for milliseconds. It
// gets this one, while its caller sleeps.
void Pool::wait_for(const Worker& worker, uint32_t number, int64_t patience) {
  const Clock::time_point start = Clock::now();
  for (;;) {
    const uint32_t done = worker.done.load(std::memory_order_acquire);
    if (static_cast<int32_t>(done - number) >= 0) return;
    doze(Doze::kPause, worker.done, done);
    if (microseconds_since(start) > patience) {
      pull_here(worker.thread.load(std::memory_order_relaxed));
      worker.done.wait(done, std::memory_order_acquire);
    }
  }
}

// A worker is free before it says that it is done, so that its caller's next call finds it free.
// The next post may come in between: it is seen in the next turn.
void* Pool::run_worker(void* self) {
  Worker& worker = *static_cast<Worker*>(self);
  worker.thread.store(thread_number(), std::memory_order_relaxed);
  Gaps gaps;
  uint32_t seen = 0;
  for (;;) {
    const Clock::time_point idle_since = Clock::now();
    seen = wait_for_post(worker, seen, gaps.likely(most_awake()));
    gaps.add(microseconds_since(idle_since));
    Job* job = worker.posted.exchange(nullptr, std::memory_order_acquire);
    if (job == nullptr) continue;  // it was taken back
    const uint32_t number = worker.number;
    job->work(worker.share);
    worker.missed_since = 0;
    worker.taken.store(false, std::memory_order_release);
    worker.done.store(number, std::memory_order_release);
    worker.done.notify_all();
  }
}

uint32_t Pool::wait_for_post(const Worker& worker, uint32_t seen, int64_t awake) {
  const Clock::time_point start = Clock::now();
  for (;;) {
    const uint32_t posts = worker.posts.load(std::memory_order_acquire);
    if (posts != seen) return posts;
    doze(best_doze(), worker.posts, seen);
    if (microseconds_since(start) > awake) worker.posts.wait(seen, std::memory_order_acquire);
  }
}

}  // namespace qk
