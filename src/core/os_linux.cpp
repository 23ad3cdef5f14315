#include <algorithm>
#include <cerrno>
#include <csignal>
#include <cstdlib>
#include <cstring>
#include <ctime>
#include <dlfcn.h>
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>
#include <utility>

#include "core/cgroup.h"
#include "core/os.h"

namespace qk {
namespace {

class FileDescriptor {
 public:
  explicit FileDescriptor(int fd) : fd_(fd) {}
  ~FileDescriptor() {
    if (fd_ >= 0) ::close(fd_);
  }
  FileDescriptor(const FileDescriptor&) = delete;
  FileDescriptor& operator=(const FileDescriptor&) = delete;
  int get() const { return fd_; }

 private:
  int fd_;
};

// What a thread inherits that starts meanwhile: signals belong to the host's threads, and Python
// runs its handlers on the main one. Faults alone are a thread's own.
class BlockedSignals {
 public:
  BlockedSignals() {
    sigset_t all;
    sigfillset(&all);
    // A fault on a thread that blocks its signal ends the process, whatever handler there is.
    for (const int fault : {SIGBUS, SIGFPE, SIGILL, SIGSEGV, SIGSYS, SIGTRAP}) {
      sigdelset(&all, fault);
    }
    ::pthread_sigmask(SIG_BLOCK, &all, &before_);
  }
  ~BlockedSignals() { ::pthread_sigmask(SIG_SETMASK, &before_, nullptr); }
  BlockedSignals(const BlockedSignals&) = delete;
  BlockedSignals& operator=(const BlockedSignals&) = delete;

 private:
  sigset_t before_ = {};
};

// NOLINTNEXTLINE(concurrency-mt-unsafe): Linux's C libraries keep the text in thread-local memory
const char* error_text(int error) { return std::strerror(error); }

Status refused(const char* call) {
  const int error = errno;
  return Status::os_failure(error, "%s: %s", call, error_text(error));
}

// The size of an open regular file.
Status size_of(int fd, int64_t* out) {
  struct stat info = {};
  if (::fstat(fd, &info) != 0) return refused("fstat");
  if (S_ISDIR(info.st_mode)) {
    errno = EISDIR;
    return refused("open");
  }
  if (!S_ISREG(info.st_mode)) return Status::value_error("not a regular file");
  *out = info.st_size;
  return {};
}

// Pages of `size` > 0 bytes, of the file or, where fd is -1, of new memory; null, and errno, where
// the system refuses.
uint8_t* map_pages(int fd, int64_t size) {
  const int protection = fd < 0 ? PROT_READ | PROT_WRITE : PROT_READ;
  const int flags = fd < 0 ? MAP_PRIVATE | MAP_ANONYMOUS : MAP_PRIVATE;
  void* pages = ::mmap(nullptr, static_cast<size_t>(size), protection, flags, fd, 0);
  return pages == MAP_FAILED ? nullptr : static_cast<uint8_t*>(pages);
}

// Fills `data` with the first `size` bytes of the file.
Status read_all(int fd, uint8_t* data, int64_t size) {
  int64_t done = 0;
  while (done < size) {
    const ssize_t count = ::pread(fd, data + done, static_cast<size_t>(size - done), done);
    if (count < 0 && errno == EINTR) continue;
    if (count < 0) return refused("read");
    if (count == 0) {
      return Status::value_error("the file shrank from %lld to %lld bytes while it was read",
                                 ll(size), ll(done));
    }
    done += count;
  }
  return {};
}

}  // namespace

MappedFile::~MappedFile() {
  if (range_ != nullptr) leave_mapped_range(range_);
  if (data_ != nullptr) ::munmap(const_cast<uint8_t*>(data_), static_cast<size_t>(size_));
  if (fd_ >= 0) ::close(fd_);
}

MappedFile::MappedFile(MappedFile&& other) noexcept
    : data_(std::exchange(other.data_, nullptr)),
      size_(std::exchange(other.size_, 0)),
      fd_(std::exchange(other.fd_, -1)),
      range_(std::exchange(other.range_, nullptr)) {}

MappedFile& MappedFile::operator=(MappedFile&& other) noexcept {
  std::swap(data_, other.data_);
  std::swap(size_, other.size_);
  std::swap(fd_, other.fd_);
  std::swap(range_, other.range_);
  return *this;
}

Status MappedFile::open(const char* path, MappedFile* out) {
  MappedFile file;
  // O_NONBLOCK: opening a FIFO must not wait for a writer.
  file.fd_ = ::open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
  if (file.fd_ < 0) return refused("open");
  int64_t size = 0;
  QK_TRY(size_of(file.fd_, &size));
  if (size > 0) {
    file.data_ = map_pages(file.fd_, size);
    if (file.data_ == nullptr) return refused("mmap");
    file.size_ = size;
    file.range_ = enter_mapped_range(file.data_, size, file.fd_);
    if (file.range_ == nullptr) return Status::memory_error("no memory to map a file");
  }
  *out = std::move(file);
  return {};
}

Status MappedFile::read(const char* path, MappedFile* out) {
  const FileDescriptor fd(::open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK));
  if (fd.get() < 0) return refused("open");
  int64_t size = 0;
  QK_TRY(size_of(fd.get(), &size));
  MappedFile file;
  if (size > 0) {
    uint8_t* data = map_pages(-1, size);
    if (data == nullptr) return refused("mmap");
    file.data_ = data;
    file.size_ = size;
    QK_TRY(read_all(fd.get(), data, size));
    ::mprotect(data, static_cast<size_t>(size), PROT_READ);
  }
  *out = std::move(file);
  return {};
}

Status MappedFile::check_size() const {
  if (fd_ < 0) return {};
  int64_t size = 0;
  QK_TRY(size_of(fd_, &size));
  if (size >= size_) return check_mapped(data_, data_ + size_);
  return Status::value_error("the file shrank from %lld to %lld bytes since it was opened",
                             ll(size_), ll(size));
}

void advise_huge_pages(void* memory, int64_t size) {
  ::madvise(memory, static_cast<size_t>(size), MADV_HUGEPAGE);
}

int64_t processors_of_mask() {
  cpu_set_t set;
  CPU_ZERO(&set);
  if (::sched_getaffinity(0, sizeof(set), &set) == 0) return std::max(CPU_COUNT(&set), 1);
  const long online = ::sysconf(_SC_NPROCESSORS_ONLN);  // more processors than a cpu_set_t holds
  return online > 0 ? online : 1;
}

int64_t processors_of_quota() { return cgroup_processors(); }

int64_t coarse_milliseconds() {
  timespec now = {};
  ::clock_gettime(CLOCK_MONOTONIC_COARSE, &now);
  return int64_t{now.tv_sec} * 1000 + now.tv_nsec / 1000000;
}

int64_t process_id() { return ::getpid(); }

#if defined(SYS_arch_prctl)

bool request_tile_registers() {
  constexpr long kRequestPermission = 0x1023;  // ARCH_REQ_XCOMP_PERM, since Linux 5.16
  constexpr long kTileData = 18;               // XFEATURE_XTILEDATA
  return ::syscall(SYS_arch_prctl, kRequestPermission, kTileData) == 0;
}

#else

bool request_tile_registers() { return false; }

#endif

void* find_loaded(const char* library, const char* function) {
  void* handle = ::dlopen(library, RTLD_LAZY | RTLD_NOLOAD);
  if (handle == nullptr) return nullptr;
  void* address = ::dlsym(handle, function);
  ::dlclose(handle);  // whoever loaded it has it still
  return address;
}

namespace {

// A mask that a thread's processor is not in moves it before the call returns; then it gets its own
// again. Systems of over 1024 processors refuse the first call.
template <class Narrow>
void move_thread(int thread, Narrow narrow) {
  cpu_set_t own;
  const int here = ::sched_getcpu();
  if (thread <= 0 || here < 0 || ::sched_getaffinity(thread, sizeof(own), &own) != 0) return;
  cpu_set_t some = own;
  narrow(static_cast<size_t>(here), some);
  if (CPU_COUNT(&some) == 0 || ::sched_setaffinity(thread, sizeof(some), &some) != 0) return;
  ::sched_setaffinity(thread, sizeof(own), &own);
}

}  // namespace

bool start_thread(void* (*body)(void* argument), void* argument) {
  const BlockedSignals blocked;
  pthread_t thread = {};
  if (::pthread_create(&thread, nullptr, body, argument) != 0) return false;
  ::pthread_detach(thread);
  return true;
}

int thread_number() { return static_cast<int>(::syscall(SYS_gettid)); }

void push_away(int thread) {
  move_thread(thread, [](size_t here, cpu_set_t& mask) { CPU_CLR(here, &mask); });
}

void pull_here(int thread) {
  move_thread(thread, [](size_t here, cpu_set_t& mask) {
    const bool may = CPU_ISSET(here, &mask);
    CPU_ZERO(&mask);
    if (may) CPU_SET(here, &mask);
  });
}

}  // namespace qk
