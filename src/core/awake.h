// How long a thread that waits for the next job stays awake.
//
// To wake a thread that sleeps takes some 50 us, as long as a product. To stay awake takes a
// processor from others. So a thread stays awake for as long as the next job is likely to come: what
// the last gaps between jobs were, twice, and a bound, after which it sleeps.
#pragma once

#include <algorithm>
#include <cstdint>

#include "core/status.h"

namespace qk {

// The most microseconds that a thread stays awake without a job: QKERNELS_SPIN, 0 to 1000000, or
// 4000. ValueError where the variable says something else.
int64_t most_awake();
Status check_awake_variable();

// The gaps between the last jobs of a thread, in microseconds.
class Gaps {
 public:
  void add(int64_t gap) {
    gaps_[next_] = gap;
    next_ = (next_ + 1) % kCount;
    count_ = std::min(count_ + 1, kCount);
  }

  // For how long it pays to stay awake, at most `most`: twice the second longest of the last gaps,
  // since one may be an accident. Where they are longer than that, a little, as jobs come in groups.
  int64_t likely(int64_t most) const {
    const int64_t little = std::min(kLittle, most);
    if (count_ < 2) return little;
    int64_t longest = 0;
    int64_t second = 0;
    for (int i = 0; i < count_; ++i) {
      second = std::max(second, std::min(longest, gaps_[i]));
      longest = std::max(longest, gaps_[i]);
    }
    return 2 * second > most ? little : std::max(2 * second, little);
  }

 private:
  static constexpr int kCount = 8;
  static constexpr int64_t kLittle = 60;
  int64_t gaps_[kCount] = {};
  int count_ = 0;
  int next_ = 0;
};

}  // namespace qk
