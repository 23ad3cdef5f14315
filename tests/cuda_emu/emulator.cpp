#include "emulator.h"

#include <algorithm>
#include <cstdarg>
#include <cstdio>
#include <cstring>
#include <functional>
#include <memory>
#include <random>

#include "cuda_runtime.h"
#include "fiber.h"
#include "loads.h"

uint3 threadIdx;
uint3 blockIdx;
dim3 blockDim;
dim3 gridDim;

// The bounds of all __shared__ objects, from the linker, where there are any.
extern "C" {
extern char __start_cuda_shared[] __attribute__((weak));
extern char __stop_cuda_shared[] __attribute__((weak));
}

namespace cuda_emu {
namespace {

constexpr int kMostThreads = 1024;

enum class State : uint8_t { kReady, kAtBarrier, kAtExchange, kDone };

// A thread, and what it waits for.
struct Thread {
  State state = State::kReady;
  const char* what = nullptr;
  Site site;
  unsigned mask = 0;
  uint64_t value = 0;
  int from = 0;  // the lane whose value it wants, or -1 for everyone's lowest bits
  uint64_t result = 0;
};

Schedule schedule = Schedule::kAscending;
std::mt19937 random_order(12345);
std::string fault_text;
bool faulted = false;

std::vector<std::unique_ptr<Fiber>> fibers;
Thread threads[kMostThreads];
int running = 0;
int thread_count = 0;
const std::function<void()>* kernel = nullptr;

uint3 index_of(int64_t linear, const dim3& shape) {
  const auto x = static_cast<unsigned>(linear % shape.x);
  const auto y = static_cast<unsigned>(linear / shape.x % shape.y);
  return {x, y, static_cast<unsigned>(linear / shape.x / shape.y)};
}

void thread_body() {
  (*kernel)();
  threads[running].state = State::kDone;
}

bool same_place(const Site& a, const Site& b) {
  return a.line() == b.line() && std::strcmp(a.file_name(), b.file_name()) == 0;
}

void wait_as(State state) {
  threads[running].state = state;
  Fiber::suspend();
}

// Lets the threads of a barrier go when the last one has come.
void try_barrier() {
  for (int t = 0; t < thread_count; ++t) {
    const Thread& other = threads[t];
    if (other.state == State::kDone) {
      fault("thread %d left before the barrier of line %u, where thread %d waits", t,
            threads[running].site.line(), running);
    }
    if (other.state != State::kAtBarrier) return;
    if (!same_place(other.site, threads[running].site)) {
      fault("threads %d and %d wait at different barriers, of lines %u and %u", t, running,
            other.site.line(), threads[running].site.line());
    }
  }
  for (int t = 0; t < thread_count; ++t) threads[t].state = State::kReady;
}

// The lanes of a mask whose values are all there give each other what they want.
void try_exchange() {
  const Thread& me = threads[running];
  const int first = running / 32 * 32;
  for (int lane = 0; lane < 32; ++lane) {
    if ((me.mask >> lane & 1) == 0) continue;
    if (first + lane >= thread_count) {
      fault("%s of line %u: its mask 0x%08x has lane %d, but the block has %d threads", me.what,
            me.site.line(), me.mask, lane, thread_count);
    }
    const Thread& other = threads[first + lane];
    if (other.state == State::kDone) {
      fault("%s of line %u: lane %d is in its mask 0x%08x, but has left", me.what, me.site.line(),
            lane, me.mask);
    }
    if (other.state != State::kAtExchange) return;
    if (other.mask != me.mask || other.what != me.what || !same_place(other.site, me.site)) {
      fault("lane %d is at %s of line %u with mask 0x%08x, lane %d at %s of line %u with 0x%08x",
            running % 32, me.what, me.site.line(), me.mask, lane, other.what, other.site.line(),
            other.mask);
    }
  }
  uint64_t everyone = 0;
  for (int lane = 0; lane < 32; ++lane) {
    if ((me.mask >> lane & 1) != 0) everyone |= (threads[first + lane].value & 1) << lane;
  }
  for (int lane = 0; lane < 32; ++lane) {
    if ((me.mask >> lane & 1) == 0) continue;
    Thread& other = threads[first + lane];
    if (other.from >= 0 && (me.mask >> other.from & 1) == 0) {
      fault("%s of line %u: lane %d reads lane %d, which is not in the mask 0x%08x", me.what,
            me.site.line(), lane, other.from, me.mask);
    }
    other.result = other.from < 0 ? everyone : threads[first + other.from].value;
    other.state = State::kReady;
  }
}

uint64_t meet(const char* what, unsigned mask, uint64_t value, int from, Site site) {
  Thread& me = threads[running];
  if ((mask >> (running % 32) & 1) == 0) {
    fault("%s of line %u: lane %d is not in its own mask 0x%08x", what, site.line(), running % 32,
          mask);
  }
  me.what = what;
  me.site = site;
  me.mask = mask;
  me.value = value;
  me.from = from;
  me.state = State::kAtExchange;
  try_exchange();
  if (threads[running].state != State::kReady) Fiber::suspend();
  return threads[running].result;
}

std::vector<int> thread_order() {
  std::vector<int> order(static_cast<size_t>(thread_count));
  const int warps = (thread_count + 31) / 32;
  for (int t = 0; t < thread_count; ++t) {
    const auto at = static_cast<size_t>(t);
    order[at] = schedule == Schedule::kDescending ? thread_count - 1 - t : t;
    if (schedule == Schedule::kLanesFirst && thread_count % 32 == 0) {
      order[at] = t % warps * 32 + t / warps;
    }
  }
  if (schedule == Schedule::kRandom) std::shuffle(order.begin(), order.end(), random_order);
  return order;
}

// Runs a block's threads until all are done, or nobody can go on.
void run_block() {
  std::fill_n(threads, thread_count, Thread{});
  const std::vector<int> order = thread_order();
  for (;;) {
    bool any_ran = false;
    bool all_done = true;
    for (const int t : order) {
      if (threads[t].state == State::kDone) continue;
      all_done = false;
      if (threads[t].state != State::kReady) continue;
      any_ran = true;
      running = t;
      threadIdx = index_of(t, blockDim);
      fibers[static_cast<size_t>(t)]->resume();
      if (faulted) return;
    }
    if (all_done) return;
    if (any_ran) continue;
    for (int t = 0; t < thread_count; ++t) {
      if (threads[t].state == State::kDone) continue;
      faulted = true;
      fault_text = "thread " + std::to_string(t) + " waits for ever at " +
                   (threads[t].state == State::kAtBarrier ? "a barrier" : threads[t].what) +
                   " of line " + std::to_string(threads[t].site.line());
      return;
    }
  }
}

void poison_shared_memory() {
  if (__start_cuda_shared == nullptr) return;
  std::memset(__start_cuda_shared, 0xcd,
              static_cast<size_t>(__stop_cuda_shared - __start_cuda_shared));
}

std::vector<int64_t> block_order(int64_t blocks) {
  std::vector<int64_t> order(static_cast<size_t>(blocks));
  for (int64_t b = 0; b < blocks; ++b) {
    order[static_cast<size_t>(b)] = schedule == Schedule::kDescending ? blocks - 1 - b : b;
  }
  if (schedule == Schedule::kRandom) std::shuffle(order.begin(), order.end(), random_order);
  return order;
}

}  // namespace

bool recording = false;

void set_schedule(Schedule next) { schedule = next; }
const std::string& last_fault() { return fault_text; }

void fault(const char* format, ...) {
  char text[300];
  va_list arguments;
  va_start(arguments, format);
  std::vsnprintf(text, sizeof(text), format, arguments);
  va_end(arguments);
  fault_text = text;
  faulted = true;
  Fiber::suspend();
  __builtin_unreachable();  // the fiber is never resumed
}

void barrier(Site site) {
  threads[running].site = site;
  threads[running].state = State::kAtBarrier;
  try_barrier();
  if (threads[running].state != State::kReady) wait_as(State::kAtBarrier);
}

uint64_t exchange(const char* what, unsigned mask, uint64_t value, int from, Site site) {
  return meet(what, mask, value, from, site);
}

unsigned vote(unsigned mask, bool predicate, Site site) {
  return static_cast<unsigned>(meet("__ballot_sync", mask, predicate ? 1 : 0, -1, site));
}

void note_load(const void* address, size_t bytes) { record_load(running, address, bytes); }

cudaError_t launch_threads(const dim3& grid, const dim3& block,
                           const std::function<void()>& thread) {
  gridDim = grid;
  blockDim = block;
  thread_count = static_cast<int>(block.x * block.y * block.z);
  while (fibers.size() < static_cast<size_t>(thread_count)) {
    fibers.push_back(std::make_unique<Fiber>(&thread_body));
  }
  kernel = &thread;
  faulted = false;
  fault_text.clear();
  const int64_t blocks = static_cast<int64_t>(grid.x) * grid.y * grid.z;
  for (const int64_t b : block_order(blocks)) {
    blockIdx = index_of(b, grid);
    poison_shared_memory();
    run_block();
    if (recording) finish_block();
    if (!faulted) continue;
    fibers.clear();  // some stopped in the middle
    return cudaErrorLaunchFailure;
  }
  return cudaSuccess;
}

}  // namespace cuda_emu
