// How long a thread stays awake, and how it waits meanwhile.
#include <atomic>
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <thread>

#include "check.h"
#include "core/awake.h"
#include "core/doze.h"

namespace qk {
namespace {

QK_TEST(workers_stay_awake_twice_the_gaps_between_jobs) {
  constexpr int64_t kMost = 4000;
  Gaps gaps;
  QK_CHECK_EQ(gaps.likely(kMost), 60);
  for (int i = 0; i < 8; ++i) gaps.add(300);
  QK_CHECK_EQ(gaps.likely(kMost), 600);
  gaps.add(100000);  // once is an accident
  QK_CHECK_EQ(gaps.likely(kMost), 600);
  gaps.add(1500);  // twice is not
  QK_CHECK_EQ(gaps.likely(kMost), 3000);
  gaps.add(2001);
  QK_CHECK_EQ(gaps.likely(kMost), 60);
  for (int i = 0; i < 8; ++i) gaps.add(1);
  QK_CHECK_EQ(gaps.likely(kMost), 60);
  QK_CHECK_EQ(gaps.likely(0), 0);
}

QK_TEST(a_doze_ends_when_its_word_changes_and_after_a_moment_anyway) {
  for (const Doze way : {Doze::kPause, Doze::kUmwait, Doze::kMwaitx}) {
    if (!can_doze(way)) {
      std::printf("  this CPU lacks way %d\n", static_cast<int>(way));
      continue;
    }
    std::atomic<uint32_t> word{0};
    doze(way, word, 1);
    doze(way, word, 0);
    std::thread writer([&word] {
      std::this_thread::sleep_for(std::chrono::milliseconds(2));
      word = 1;
    });
    while (word == 0) doze(way, word, 0);
    writer.join();
  }
  QK_CHECK(can_doze(best_doze()));
}

}  // namespace
}  // namespace qk
