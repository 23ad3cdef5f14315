// Moving a thread that waits for a processor to another one.
#include <atomic>
#include <fstream>
#include <sched.h>
#include <sstream>
#include <string>
#include <thread>
#include <vector>

#include "check.h"
#include "core/os.h"

namespace qk {
namespace {

std::vector<int> processors_of(int thread) {
  cpu_set_t mask;
  std::vector<int> found;
  if (::sched_getaffinity(thread, sizeof(mask), &mask) != 0) return found;
  for (int i = 0; i < CPU_SETSIZE; ++i) {
    if (CPU_ISSET(static_cast<size_t>(i), &mask)) found.push_back(i);
  }
  return found;
}

void use_only(int thread, const std::vector<int>& processors) {
  cpu_set_t mask;
  CPU_ZERO(&mask);
  for (const int processor : processors) CPU_SET(static_cast<size_t>(processor), &mask);
  QK_CHECK_EQ(::sched_setaffinity(thread, sizeof(mask), &mask), 0);
}

// The processor that a thread runs on or waits for: the 39th field of its stat, the second of which
// is a name in parentheses.
int processor_of(int thread) {
  std::ifstream file("/proc/self/task/" + std::to_string(thread) + "/stat");
  std::string text;
  std::getline(file, text);
  std::istringstream fields(text.substr(text.rfind(')') + 1));
  std::string field;
  for (int i = 3; i <= 39; ++i) fields >> field;
  return field.empty() ? -1 : std::stoi(field);
}

// A thread that never rests, as long as this lives.
class Busy {
 public:
  Busy() {
    while (number_ == 0) std::this_thread::yield();
  }
  ~Busy() {
    done_ = true;
    thread_.join();
  }
  Busy(const Busy&) = delete;
  Busy& operator=(const Busy&) = delete;
  int number() const { return number_; }

 private:
  std::atomic<bool> done_{false};
  std::atomic<int> number_{0};
  std::thread thread_{[this] {
    number_ = thread_number();
    while (!done_) {
    }
  }};
};

// The calling thread on the first of two processors, as long as this lives; false where there is one.
class OnFirst {
 public:
  OnFirst() {
    if (all.size() >= 2) use_only(0, {all[0]});
  }
  ~OnFirst() { use_only(0, all); }
  OnFirst(const OnFirst&) = delete;
  OnFirst& operator=(const OnFirst&) = delete;

  const std::vector<int> all = processors_of(0);
};

QK_TEST(a_thread_that_waits_for_this_processor_is_pushed_to_another) {
  const Busy busy;
  const OnFirst here;
  if (here.all.size() < 2) return;
  use_only(busy.number(), {here.all[0]});
  push_away(busy.number());  // it may use no other
  QK_CHECK_EQ(processor_of(busy.number()), here.all[0]);
  use_only(busy.number(), here.all);
  push_away(busy.number());
  QK_CHECK(processor_of(busy.number()) != here.all[0]);
  QK_CHECK(processors_of(busy.number()) == here.all);
}

QK_TEST(a_thread_that_waits_for_another_processor_is_pulled_to_this_one) {
  const Busy first;
  const Busy second;
  const OnFirst here;
  if (here.all.size() < 2) return;
  use_only(first.number(), {here.all[1]});
  use_only(second.number(), {here.all[1]});
  pull_here(second.number());  // it may not use this one
  QK_CHECK_EQ(processor_of(second.number()), here.all[1]);
  use_only(second.number(), here.all);
  pull_here(second.number());
  QK_CHECK_EQ(processor_of(second.number()), here.all[0]);
  QK_CHECK(processors_of(second.number()) == here.all);
}

QK_TEST(thread_0_and_threads_that_are_gone_are_not_moved) {
  const std::vector<int> all = processors_of(0);
  int gone = 0;
  std::thread([&gone] { gone = thread_number(); }).join();
  for (const int thread : {0, -1, gone}) {
    push_away(thread);
    pull_here(thread);
  }
  QK_CHECK(processors_of(0) == all);
}

}  // namespace
}  // namespace qk
