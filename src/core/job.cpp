#include "core/job.h"

#include <algorithm>
#include <memory>

#include "core/checked.h"

namespace qk {

int shares_of(int threads, int64_t n, int64_t grain) {
  return static_cast<int>(std::min<int64_t>({threads, kMaxThreads, ceil_div(n, grain)}));
}

Job::Job(int shares, int64_t n, int64_t grain, RangeFn fn, void* context)
    : count_(shares), chunk_(std::max(n / shares / 20, grain)), fn_(fn), context_(context) {
  const int64_t even = n / shares;
  const int64_t rest = n % shares;
  for (int p = 0; p < shares; ++p) {
    // even * p + min(p, rest) spreads the remainder without overflow.
    const int64_t begin = even * p + std::min<int64_t>(p, rest);
    const int64_t size = even + (p < rest ? 1 : 0);
    std::construct_at(&shares_.each[p], begin, begin + size, std::max(size - size / 5, chunk_));
  }
}

void Job::work(int self) {
  drain(shares_.each[self], shares_.each[self].first_take);
  for (int other = 1; other < count_; ++other) {
    drain(shares_.each[(self + other) % count_], chunk_);
  }
}

void Job::drain(Share& share, int64_t first_take) {
  int64_t take = first_take;
  while (share.next.load(std::memory_order_relaxed) < share.end) {
    const int64_t begin = share.next.fetch_add(take, std::memory_order_relaxed);
    if (begin >= share.end) return;
    fn_(context_, begin, std::min(begin + take, share.end));
    take = chunk_;
  }
}

}  // namespace qk
