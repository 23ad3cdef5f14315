#include "core/default_threads.h"

#include <algorithm>
#include <atomic>
#include <cstdint>
#include <cstdlib>

#include "core/environment.h"
#include "core/job.h"
#include "core/os.h"

namespace qk {
namespace {

// To ask takes some microseconds of the mask and some hundred of the quota, a small product two.
constexpr int64_t kMaskAge = 20;     // milliseconds
constexpr int64_t kQuotaAge = 1000;  // milliseconds

constexpr const char* kThreadsVariable = "QKERNELS_THREADS";

std::atomic<int> chosen{0};  // 0: nobody has chosen

// The number at the start of `text`, up to `end` or the end of it; 0 where that is no number of
// threads.
int parse_threads(const char* text, char end) {
  char* rest = nullptr;
  const long number = std::strtol(text, &rest, 10);
  while (*rest == ' ') ++rest;
  if (rest == text || number < 1 || (*rest != '\0' && *rest != end)) return 0;
  return static_cast<int>(std::min<long>(number, kMaxThreads + 1));
}

// Read once, as every runtime of threads does.
int of_environment() {
  static const int kThreads = [] {
    const char* value = variable(kThreadsVariable);
    return value == nullptr ? 0 : parse_threads(value, '\0');
  }();
  return std::min(kThreads, kMaxThreads);
}

int of_openmp() {
  static const int kThreads = [] {
    const char* value = variable("OMP_NUM_THREADS");
    return value == nullptr ? 0 : parse_threads(value, ',');
  }();
  return std::min(kThreads, kMaxThreads);
}

// What `ask` returned at most `age` milliseconds ago. Of two threads that find it too old both may
// ask.
class Remembered {
 public:
  int64_t get(int64_t age, int64_t now, int64_t (*ask)()) {
    if (now - at_.load(std::memory_order_relaxed) >= age) {
      value_.store(ask(), std::memory_order_relaxed);
      at_.store(now, std::memory_order_release);
    }
    return value_.load(std::memory_order_relaxed);
  }

 private:
  std::atomic<int64_t> at_{-kQuotaAge};
  std::atomic<int64_t> value_{0};
};

int64_t processors_of_age(int64_t mask_age, int64_t quota_age) {
  static Remembered quota;
  thread_local Remembered mask;  // each thread has its own
  const int64_t now = coarse_milliseconds();
  const int64_t processors = mask.get(mask_age, now, processors_of_mask);
  const int64_t most = quota.get(quota_age, now, processors_of_quota);
  return std::max<int64_t>(most > 0 ? std::min(most, processors) : processors, 1);
}

int threads_of_age(int64_t mask_age, int64_t quota_age, int choice) {
  if (choice > 0) return choice;
  if (const int threads = of_openmp(); threads > 0) return threads;
  return static_cast<int>(std::min<int64_t>(processors_of_age(mask_age, quota_age), kMaxThreads));
}

}  // namespace

int chosen_threads() {
  const int threads = chosen.load(std::memory_order_relaxed);
  return threads > 0 ? threads : of_environment();
}

int default_threads() { return threads_of_age(kMaskAge, kQuotaAge, chosen_threads()); }

int default_threads_now() { return threads_of_age(0, 0, chosen_threads()); }

int usable_processors() { return static_cast<int>(processors_of_age(0, 0)); }

void set_default_threads(int threads) { chosen.store(threads, std::memory_order_relaxed); }

void limit_default_threads(int threads) {
  set_default_threads(threads == threads_of_age(0, 0, of_environment()) ? 0 : threads);
}

Status check_threads_variable() {
  const char* value = variable(kThreadsVariable);
  if (value == nullptr) return {};
  const int threads = parse_threads(value, '\0');
  if (threads >= 1 && threads <= kMaxThreads) return {};
  return Status::value_error("%s='%.40s' is not a number of threads, 1 to %d", kThreadsVariable,
                             value, kMaxThreads);
}

}  // namespace qk
