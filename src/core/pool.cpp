#include "core/pool.h"

#include <chrono>
#include <memory>
#include <pthread.h>
#include <thread>

#include "core/checked.h"
#include "core/os.h"

#if defined(__x86_64__)
#include <immintrin.h>
#endif

namespace qk {
namespace {

constexpr auto kSpin = std::chrono::microseconds(60);
constexpr int kPausesBetweenClocks = 32;

void pause_briefly() {
#if defined(__x86_64__)
  _mm_pause();
#elif defined(__aarch64__)
  asm volatile("yield");
#endif
}

std::atomic<Pool*> shared_pool{nullptr};
std::atomic<Pool*> pool_before_fork{nullptr};  // keeps what its lost threads use reachable

void forget_pool_in_child() { pool_before_fork.store(shared_pool.exchange(nullptr)); }

// The pool, for as long as a job runs.
class Taken {
 public:
  explicit Taken(std::atomic<bool>& busy)
      : busy_(busy), is_mine_(!busy.exchange(true, std::memory_order_acquire)) {}
  ~Taken() {
    if (is_mine_) busy_.store(false, std::memory_order_release);
  }
  Taken(const Taken&) = delete;
  Taken& operator=(const Taken&) = delete;
  bool is_mine() const { return is_mine_; }

 private:
  std::atomic<bool>& busy_;
  bool is_mine_;
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
  const int64_t most = ceil_div(n, grain);
  int shares = threads < kMaxThreads ? threads : kMaxThreads;
  if (shares > most) shares = static_cast<int>(most);
  if (shares <= 1) {
    fn(context, 0, n);
    return;
  }
  const Taken taken(busy_);
  if (!taken.is_mine()) {
    fn(context, 0, n);
    return;
  }
  grow(shares - 1);
  open(shares, n, grain, fn, context);
  work(0);
  close();
}

void Pool::open(int shares, int64_t n, int64_t grain, RangeFn fn, void* context) {
  share_count_ = shares;
  fn_ = fn;
  context_ = context;
  const int64_t even = n / shares;
  chunk_ = even / 20 > grain ? even / 20 : grain;
  for (int p = 0; p < shares; ++p) {
    // even * p + min(p, n % shares) spreads the remainder without overflow.
    const int64_t rest = n % shares;
    const int64_t begin = even * p + (p < rest ? p : rest);
    const int64_t size = even + (p < rest ? 1 : 0);
    shares_[p].next.store(begin, std::memory_order_relaxed);
    shares_[p].end = begin + size;
    const int64_t most = size - size / 5;
    shares_[p].first_take = most > chunk_ ? most : chunk_;
  }
  const uint32_t epoch = epoch_.fetch_add(1, std::memory_order_seq_cst) + 1;
  for (int p = 1; p < shares; ++p) {  // the workers of other shares sleep on
    shares_[p].call.store(epoch, std::memory_order_release);
    shares_[p].call.notify_one();
  }
}

void Pool::close() {
  epoch_.fetch_add(1, std::memory_order_seq_cst);
  for (int spins = 0; active_.load(std::memory_order_seq_cst) != 0; ++spins) {
    if (spins < 1000) {
      pause_briefly();
    } else {
      std::this_thread::yield();  // a worker lost its processor in the middle of a chunk
    }
  }
}

void Pool::work(int self) {
  drain(shares_[self], shares_[self].first_take);
  for (int other = 1; other < share_count_; ++other) {
    drain(shares_[(self + other) % share_count_], chunk_);
  }
}

void Pool::drain(Share& share, int64_t first_take) {
  int64_t take = first_take;
  while (share.next.load(std::memory_order_relaxed) < share.end) {
    const int64_t begin = share.next.fetch_add(take, std::memory_order_relaxed);
    if (begin >= share.end) return;
    const int64_t left = share.end - begin;
    fn_(context_, begin, begin + (take < left ? take : left));
    take = chunk_;
  }
}

// Called with the pool busy. Fewer threads than asked for is not an error: their shares are taken.
// Nothing is allocated, and so nothing throws, on the way to a thread.
void Pool::grow(int workers) {
  for (; workers_ < workers; ++workers_) {
    Share& share = shares_[workers_ + 1];
    share.pool = this;
    if (!start_thread(start_worker, &share)) return;
  }
}

void* Pool::start_worker(void* share) {
  Pool* pool = static_cast<Share*>(share)->pool;
  pool->worker(static_cast<int>(static_cast<Share*>(share) - pool->shares_));
  return nullptr;
}

void Pool::worker(int self) {
  uint32_t seen = 0;
  for (;;) {
    seen = wait_for_job(shares_[self], seen);
    active_.fetch_add(1, std::memory_order_seq_cst);
    if (epoch_.load(std::memory_order_seq_cst) == seen && self < share_count_) work(self);
    active_.fetch_sub(1, std::memory_order_seq_cst);
  }
}

uint32_t Pool::wait_for_job(const Share& mine, uint32_t seen) {
  const auto give_up = std::chrono::steady_clock::now() + kSpin;
  for (int pauses = 1;; ++pauses) {
    const uint32_t epoch = mine.call.load(std::memory_order_acquire);
    if (epoch != seen) return epoch;
    pause_briefly();
    if (pauses % kPausesBetweenClocks == 0 && std::chrono::steady_clock::now() > give_up) {
      mine.call.wait(epoch, std::memory_order_acquire);
    }
  }
}

}  // namespace qk
