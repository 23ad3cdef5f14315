// The thread pool: nothing is missed, nothing is done twice, whoever calls and however often.
#include <algorithm>
#include <atomic>
#include <cerrno>
#include <cfenv>
#include <chrono>
#include <csignal>
#include <cstdint>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <mutex>
#include <new>
#include <pthread.h>  // IWYU pragma: keep (the wrapped function)
#include <set>
#include <string>
#include <sys/resource.h>
#include <sys/wait.h>
#include <thread>
#include <unistd.h>
#include <vector>

#include "check.h"
#include "core/pool.h"

#ifdef __SANITIZE_THREAD__
// One test starts threads in a forked child, which the sanitizer refuses unless told otherwise.
extern "C" __attribute__((visibility("default"))) const char* __tsan_default_options() {
  return "die_after_fork=0";
}
#endif

// The linker sends what this program allocates, and starts, through these (--wrap, in
// CMakeLists.txt).
namespace {
std::atomic<bool> has_memory{true};
std::atomic<bool> has_threads{true};
}  // namespace
// The names are the linker's.
// NOLINTBEGIN(bugprone-reserved-identifier,readability-identifier-naming)
extern "C" {
using ThreadBody = void* (*)(void*);
void* __real__Znwm(size_t size);
void* __wrap__Znwm(size_t size);
int __real_pthread_create(pthread_t* thread, const pthread_attr_t* how, ThreadBody body, void* arg);
int __wrap_pthread_create(pthread_t* thread, const pthread_attr_t* how, ThreadBody body, void* arg);

void* __wrap__Znwm(size_t size) {
  if (!has_memory) throw std::bad_alloc();
  return __real__Znwm(size);
}
int __wrap_pthread_create(pthread_t* thread, const pthread_attr_t* how, ThreadBody body,
                          void* arg) {
  return has_threads ? __real_pthread_create(thread, how, body, arg) : EAGAIN;
}
}
// NOLINTEND(bugprone-reserved-identifier,readability-identifier-naming)

namespace qk {
namespace {

// Counts are plain integers, so that ThreadSanitizer sees two visits of an index as a race, and a
// caller that does not wait for its workers as another.
std::vector<int> visits(const Parallel& parallel, int64_t n, int64_t grain) {
  std::vector<int> counts(static_cast<size_t>(n));
  auto body = [&](int64_t begin, int64_t end) {
    QK_CHECK(0 <= begin && begin < end && end <= n);
    for (int64_t i = begin; i < end; ++i) ++counts[static_cast<size_t>(i)];
  };
  parallel(n, grain, body);
  return counts;
}

bool all_are(const std::vector<int>& counts, int value) {
  return std::ranges::all_of(counts, [value](int c) { return c == value; });
}

bool visits_each_once(int threads, int64_t n, int64_t grain) {
  return all_are(visits(Pool::shared().parallel(threads), n, grain), 1);
}

// A worker that is woken for nothing goes back to sleep: a voluntary switch. Waking all 63 each
// time would make 60 of them a job. The first test, before others start yet more workers.
QK_TEST(a_small_job_wakes_only_the_workers_that_it_needs) {
  constexpr int kJobs = 50;
  QK_REQUIRE(visits_each_once(64, 1000, 1));
  const auto switches = [] {
    rusage usage = {};
    ::getrusage(RUSAGE_SELF, &usage);
    return usage.ru_nvcsw;
  };
  const auto before = switches();
  for (int i = 0; i < kJobs; ++i) {
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
    QK_CHECK(visits_each_once(2, 1000, 1));
  }
  const test::Context context("%ld switches in %d jobs", switches() - before, kJobs);
  QK_CHECK(switches() - before < 20 * kJobs);
}

QK_TEST(every_index_is_visited_exactly_once) {
  for (const int threads : {1, 2, 3, 7, 64, kMaxThreads, kMaxThreads + 44}) {
    for (const int64_t n : {0, 1, 2, 3, 7, 63, 64, 65, 1000, 12345}) {
      for (const int64_t grain : {1, 3, 64, 5000, 20000}) {
        const test::Context context("threads=%d n=%lld grain=%lld", threads,
                                    static_cast<long long>(n), static_cast<long long>(grain));
        QK_CHECK(visits_each_once(threads, n, grain));
      }
    }
  }
}

QK_TEST(many_jobs_in_a_row_are_each_complete) {
  for (int i = 0; i < 5000; ++i) QK_CHECK(visits_each_once(1 + i % 5, 40 + i % 17, 1));
}

QK_TEST(jobs_after_a_sleep_wake_the_workers) {
  for (int i = 0; i < 20; ++i) {
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
    QK_CHECK(visits_each_once(4, 1000, 1));
  }
}

QK_TEST(no_more_threads_work_than_were_asked_for) {
  for (const size_t threads : {1u, 2u, 3u}) {
    std::mutex lock;
    std::set<std::thread::id> seen;
    auto body = [&](int64_t, int64_t) {
      const std::scoped_lock locked(lock);
      seen.insert(std::this_thread::get_id());
    };
    Pool::shared().parallel(static_cast<int>(threads))(10000, 1, body);
    QK_CHECK(!seen.empty() && seen.size() <= threads);
  }
}

// What arithmetic does: on x86, fegetround() tells of the x87 alone.
bool rounds_up() {
  const volatile float tiny = 1e-10f;
  return 1.0f + tiny > 1.0f;
}

// A worker has the rounding of whoever started it, an own thread that of its caller.
QK_TEST(a_job_rounds_to_nearest_however_its_caller_rounds) {
  for (const Parallel& parallel :
       {alone(), Pool::shared().parallel(1), Pool::shared().parallel(7)}) {
    std::fesetround(FE_UPWARD);
    std::atomic<bool> nearest{true};
    auto body = [&](int64_t, int64_t) {
      if (rounds_up()) nearest = false;
    };
    parallel(10000, 1, body);
    const bool restored = rounds_up();
    std::fesetround(FE_TONEAREST);
    const test::Context context("%d threads", parallel.threads);
    QK_CHECK(nearest);
    QK_CHECK(restored);
  }
}

QK_TEST(a_job_raises_no_exception_flags_for_its_caller) {
  std::feclearexcept(FE_ALL_EXCEPT);
  volatile double three = 3.0;
  auto body = [&](int64_t, int64_t) { three = 1.0 / three; };
  alone()(1, 1, body);
  QK_CHECK_EQ(std::fetestexcept(FE_INEXACT), 0);
}

QK_TEST(a_job_inside_a_job_is_complete) {
  constexpr int64_t kOuter = 50;
  const Parallel parallel = Pool::shared().parallel(3);
  std::vector<std::vector<int>> counts(kOuter);
  auto body = [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) counts[static_cast<size_t>(i)] = visits(parallel, 200, 1);
  };
  parallel(kOuter, 1, body);
  for (const std::vector<int>& inner : counts) QK_CHECK(inner.size() == 200 && all_are(inner, 1));
}

QK_TEST(sixteen_callers_at_once_are_each_served) {
  std::vector<std::thread> callers;
  callers.reserve(16);
  for (int c = 0; c < 16; ++c) {
    callers.emplace_back([c] {
      for (int i = 0; i < 200; ++i) QK_CHECK(visits_each_once(1 + c % 4, 500 + c, 1));
    });
  }
  for (std::thread& caller : callers) caller.join();
}

// A worker that is done is taken by the next caller while the last one looks what became of its job.
// ThreadSanitizer's pace makes that frequent.
QK_TEST(callers_that_share_a_worker_take_back_no_job_of_another) {
  static Pool pool;  // its worker outlives the test
  std::atomic<int64_t> sum{0};
  std::vector<std::thread> callers;
  callers.reserve(4);
  for (int c = 0; c < 4; ++c) {
    callers.emplace_back([&sum] {
      auto body = [&sum](int64_t begin, int64_t end) { sum += end - begin; };
      for (int i = 0; i < 20000; ++i) pool.parallel(8)(2, 1, body);
    });
  }
  for (std::thread& caller : callers) caller.join();
  QK_CHECK_EQ(sum.load(), int64_t{4 * 20000 * 2});
}

// A caller that is alone has all of the threads, and two have half of them each.
QK_TEST(callers_at_once_share_the_threads) {
  static Pool pool;  // its workers outlive the test
  const auto threads_of_a_job = [] {
    std::mutex lock;
    std::set<std::thread::id> seen;
    const auto give_up = std::chrono::steady_clock::now() + std::chrono::milliseconds(200);
    auto body = [&](int64_t, int64_t) {
      const std::scoped_lock locked(lock);
      seen.insert(std::this_thread::get_id());
    };
    while (std::chrono::steady_clock::now() < give_up) pool.parallel(4)(400, 1, body);
    return seen.size();
  };
  QK_CHECK_EQ(threads_of_a_job(), size_t{4});
  std::atomic<bool> inside{false};
  std::atomic<bool> done{false};
  std::thread other([&] {
    auto body = [&](int64_t, int64_t) {
      inside = true;
      while (!done) std::this_thread::yield();
    };
    pool.parallel(2)(2, 1, body);
  });
  while (!inside) std::this_thread::yield();
  QK_CHECK_EQ(threads_of_a_job(), size_t{2});
  done = true;
  other.join();
}

// A worker that sleeps between jobs switches once for each.
QK_TEST(workers_are_awake_when_jobs_come_regularly) {
  constexpr int kJobs = 200;
  const auto busy_for = [](std::chrono::microseconds time) {
    const auto end = std::chrono::steady_clock::now() + time;
    while (std::chrono::steady_clock::now() < end) {
    }
  };
  const auto switches = [] {
    rusage usage = {};
    ::getrusage(RUSAGE_SELF, &usage);
    return usage.ru_nvcsw;
  };
  std::this_thread::sleep_for(std::chrono::milliseconds(20));  // all sleep
  const auto before = switches();
  for (int i = 0; i < kJobs; ++i) {
    busy_for(std::chrono::microseconds(300));
    QK_CHECK(visits_each_once(2, 1000, 1));
  }
  const test::Context context("%ld switches in %d jobs", switches() - before, kJobs);
  QK_CHECK(switches() - before < kJobs / 2);
}

// Whether a second thread takes part in a job within ten seconds.
bool two_threads_meet(Pool& pool = Pool::shared()) {
  std::atomic<int> arrived{0};
  const auto give_up = std::chrono::steady_clock::now() + std::chrono::seconds(10);
  auto body = [&](int64_t, int64_t) {
    arrived.fetch_add(1);
    while (arrived.load() < 2 && std::chrono::steady_clock::now() < give_up) {
      std::this_thread::yield();
    }
  };
  pool.parallel(2)(2, 1, body);
  return arrived.load() == 2;
}

bool takes_signals() {
  sigset_t blocked;
  ::pthread_sigmask(SIG_BLOCK, nullptr, &blocked);
  return sigismember(&blocked, SIGINT) == 0;
}

// The caller does all of the job, nothing that was taken for starting threads stays taken, and
// with threads to be had the pool has them.
QK_TEST(a_pool_that_gets_no_threads_or_no_memory_gets_on) {
  static Pool pool;  // its workers outlive the test
  int visited = 0;
  auto body = [&](int64_t begin, int64_t end) { visited += static_cast<int>(end - begin); };
  has_threads = false;
  pool.parallel(4)(1000, 1, body);
  has_threads = true;
  QK_CHECK_EQ(visited, 1000);
  QK_CHECK(takes_signals());
  has_memory = false;
  const bool met = two_threads_meet(pool);  // starting a thread takes no memory of ours
  has_memory = true;
  QK_CHECK(met);
  QK_CHECK(takes_signals());
}

// Forked inside a job, the child inherits a pool that is busy and whose workers are gone.
QK_TEST(a_forked_child_starts_with_a_pool_of_its_own) {
  QK_REQUIRE(two_threads_meet());
  pid_t child = -1;
  auto body = [&](int64_t begin, int64_t) {
    if (begin != 0) return;
    child = ::fork();
    if (child != 0) return;
    ::alarm(60);
    const bool works = two_threads_meet() && visits_each_once(4, 1000, 1);
    ::_exit(works ? 0 : 1);  // the only way that it has to report
  };
  Pool::shared().parallel(2)(2, 1, body);
  QK_REQUIRE(child > 0);
  int status = -1;
  QK_CHECK_EQ(::waitpid(child, &status, 0), child);
  QK_CHECK_EQ(status, 0);
  QK_CHECK(two_threads_meet() && visits_each_once(4, 1000, 1));
}

// How many of this process's threads, the calling one included, run or could.
int runnable_threads() {
  int count = 0;
  for (const auto& task : std::filesystem::directory_iterator("/proc/self/task")) {
    std::ifstream file(task.path() / "stat");
    const std::string stat{std::istreambuf_iterator<char>(file), {}};
    const size_t name = stat.rfind(')');  // of a thread that has ended meanwhile there is none
    if (name != std::string::npos && stat.at(name + 2) == 'R') ++count;
  }
  return count;
}

// A worker that spins is always one that could run, whoever else has the processor.
QK_TEST(idle_workers_sleep) {
  QK_REQUIRE(visits_each_once(4, 1000, 1));
  const auto deadline = std::chrono::steady_clock::now() + std::chrono::minutes(1);
  int runnable = runnable_threads();
  while (runnable > 1 && std::chrono::steady_clock::now() < deadline) {
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
    runnable = runnable_threads();
  }
  QK_CHECK_EQ(runnable, 1);
}

}  // namespace
}  // namespace qk
