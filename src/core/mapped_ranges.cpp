#include "core/mapped_ranges.h"

#include <cerrno>
#include <csignal>
#include <memory>
#include <new>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

namespace qk {

// Read by the handler at any time. Free where begin is 0; claimed, and not yet a range, where it is
// kClaimed.
struct MappedRange {
  std::atomic<uintptr_t> begin{0};
  std::atomic<uintptr_t> end{0};
  std::atomic<int> fd{-1};
  std::atomic<bool> is_cut{false};
};

std::atomic<bool> some_range_was_cut{false};

namespace {

constexpr uintptr_t kClaimed = UINTPTR_MAX;

// Chunks are never freed: a handler may be looking at them. The first needs no memory.
struct Chunk {
  MappedRange ranges[64];
  std::atomic<Chunk*> next{nullptr};
};
Chunk first_chunk;

static_assert(std::atomic<uintptr_t>::is_always_lock_free &&
              std::atomic<bool>::is_always_lock_free);

// Calls visit(range, begin, end) for every range until it returns true; whether it did. Async-
// signal-safe where visit is.
template <class Visit>
bool any_range(Visit visit) {
  for (Chunk* chunk = &first_chunk; chunk != nullptr; chunk = chunk->next.load()) {
    // NOLINTNEXTLINE(misc-const-correctness): visit() may mark it
    for (MappedRange& range : chunk->ranges) {
      const uintptr_t begin = range.begin.load();
      const uintptr_t end = range.end.load();
      if (begin == 0 || begin == kClaimed || range.begin.load() != begin) continue;
      if (visit(range, begin, end)) return true;
    }
  }
  return false;
}

int64_t size_of_file(const MappedRange& range) {
  struct stat info = {};
  return ::fstat(range.fd.load(), &info) == 0 ? int64_t{info.st_size} : -1;
}

// Pages of zeros from the one that holds `address` to the end of its map; false where it lies in
// none.
bool replace_pages(uintptr_t address) {
  return any_range([address](MappedRange& range, uintptr_t begin, uintptr_t end) {
    if (address < begin || address >= end) return false;
    const auto page = static_cast<uintptr_t>(::sysconf(_SC_PAGESIZE));
    const uintptr_t first = address / page * page;
    // NOLINTNEXTLINE(performance-no-int-to-ptr): an address of the system's
    const void* pages = ::mmap(reinterpret_cast<void*>(first), end - first, PROT_READ,
                               MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED | MAP_NORESERVE, -1, 0);
    if (pages == MAP_FAILED) return false;
    range.is_cut.store(true);
    some_range_was_cut.store(true);
    return true;
  });
}

// A cut that nobody has run into, as far as this handler has been told.
bool some_file_is_short() {
  return any_range([](const MappedRange& range, uintptr_t begin, uintptr_t end) {
    return !range.is_cut.load() && size_of_file(range) < static_cast<int64_t>(end - begin);
  });
}

struct sigaction previous = {};
std::atomic<bool> is_installed{false};  // once: `previous` may lead back to here from then on
std::atomic<bool> may_loop{false};
std::atomic<bool> has_passed_on{false};

void take_default_action(int signal) {
  struct sigaction action = {};
  action.sa_handler = SIG_DFL;
  ::sigaction(signal, &action, nullptr);
  ::raise(signal);
}

void pass_on(int signal, siginfo_t* info, void* context, bool is_raised) {
  const bool has_handler = previous.sa_handler != SIG_DFL && previous.sa_handler != SIG_IGN;
  const bool is_loop = may_loop.load() && is_raised && has_passed_on.exchange(true);
  has_passed_on.store(true);
  if (previous.sa_handler == SIG_IGN && info->si_code <= 0) return;
  if (!has_handler || is_loop) {
    take_default_action(signal);
  } else if ((previous.sa_flags & SA_SIGINFO) != 0) {
    previous.sa_sigaction(signal, info, context);
  } else {
    previous.sa_handler(signal);
  }
}

void on_bus_error(int signal, siginfo_t* info, void* context) {
  const int error = errno;
  const bool is_fault = info->si_code > 0;  // the kernel's, and not sent by a process
  const bool is_raised = info->si_code == SI_TKILL && info->si_pid == ::getpid();
  const bool is_of_memory = info->si_code == BUS_MCEERR_AR || info->si_code == BUS_MCEERR_AO;
  const bool is_ours =
      is_fault && !is_of_memory && replace_pages(reinterpret_cast<uintptr_t>(info->si_addr));
  // A handler that came first and passes the signal on by raise(), without the address: the
  // instruction repeats, and then the signal comes with it.
  const bool comes_again = is_raised && some_file_is_short();
  if (!is_ours && !comes_again) pass_on(signal, info, context, is_raised);
  errno = error;
}

// Puts the handler on top, where it is not.
void install() {
  struct sigaction current = {};
  if (::sigaction(SIGBUS, nullptr, &current) != 0) return;
  if ((current.sa_flags & SA_SIGINFO) != 0 && current.sa_sigaction == on_bus_error) return;
  if (is_installed.exchange(true)) may_loop.store(true);
  previous = current;
  struct sigaction action = {};
  action.sa_sigaction = on_bus_error;
  action.sa_flags = SA_SIGINFO | SA_ONSTACK;
  sigemptyset(&action.sa_mask);
  ::sigaction(SIGBUS, &action, nullptr);
}

// A range that is this thread's to fill; null where there is no memory for one.
MappedRange* claim() {
  for (Chunk* chunk = &first_chunk;;) {
    for (MappedRange& range : chunk->ranges) {
      uintptr_t free = 0;
      if (range.begin.compare_exchange_strong(free, kClaimed)) return &range;
    }
    if (chunk->next.load() == nullptr) {
      std::unique_ptr<Chunk> fresh(new (std::nothrow) Chunk);
      if (fresh == nullptr) return nullptr;
      Chunk* none = nullptr;
      if (chunk->next.compare_exchange_strong(none, fresh.get())) {
        static_cast<void>(fresh.release());
      }
    }
    chunk = chunk->next.load();
  }
}

}  // namespace

MappedRange* enter_mapped_range(const uint8_t* data, int64_t size, int fd) {
  MappedRange* range = claim();
  if (range == nullptr) return nullptr;
  const auto begin = reinterpret_cast<uintptr_t>(data);
  range->end.store(begin + static_cast<uintptr_t>(size));
  range->fd.store(fd);
  range->is_cut.store(false);
  range->begin.store(begin);
  install();
  return range;
}

void leave_mapped_range(MappedRange* range) { range->begin.store(0); }

Status check_mapped(const uint8_t* begin, const uint8_t* end) {
  if (!some_range_was_cut.load(std::memory_order_relaxed)) return {};
  const auto first = reinterpret_cast<uintptr_t>(begin);
  const auto last = reinterpret_cast<uintptr_t>(end);
  Status status;
  any_range([&](const MappedRange& range, uintptr_t from, uintptr_t to) {
    if (!range.is_cut.load() || last <= from || to <= first) return false;
    const auto mapped = ll(static_cast<int64_t>(to - from));
    const auto left = ll(size_of_file(range));
    status = left < mapped ? Status::value_error(
                                 "the mapped file shrank from %lld to %lld bytes since it was "
                                 "opened",
                                 mapped, left)
                           : Status::value_error(
                                 "pages of the mapped file of %lld bytes were lost since it "
                                 "was opened; open it again",
                                 mapped);
    return true;
  });
  return status;
}

}  // namespace qk
