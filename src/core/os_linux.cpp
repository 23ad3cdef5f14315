#include <cerrno>
#include <csignal>
#include <cstdlib>
#include <cstring>
#include <fcntl.h>
#include <sched.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <system_error>
#include <thread>
#include <unistd.h>
#include <utility>

#include "core/checked.h"
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

// NOLINTNEXTLINE(concurrency-mt-unsafe): Linux's C libraries keep the text in thread-local memory
const char* error_text(int error) { return std::strerror(error); }

Status refused(const char* path) {
  const int error = errno;
  return Status::os_failure(error, "%s: %s", path, error_text(error));
}

// The CPU quota of the enclosing cgroup, in processors rounded up; 0 where there is none.
int64_t cgroup_quota() {
  const FileDescriptor fd(::open("/sys/fs/cgroup/cpu.max", O_RDONLY | O_CLOEXEC));
  char text[64] = {};  // two numbers, or "max" and one
  if (fd.get() < 0 || ::read(fd.get(), text, sizeof(text) - 1) <= 0) return 0;
  char* rest = nullptr;
  const int64_t quota = std::strtoll(text, &rest, 10);  // 0 for "max"
  const int64_t period = std::strtoll(rest, nullptr, 10);
  return quota > 0 && period > 0 ? ceil_div(quota, period) : 0;
}

}  // namespace

MappedFile::~MappedFile() {
  if (data_ != nullptr) ::munmap(const_cast<uint8_t*>(data_), static_cast<size_t>(size_));
}

MappedFile::MappedFile(MappedFile&& other) noexcept
    : data_(std::exchange(other.data_, nullptr)), size_(std::exchange(other.size_, 0)) {}

MappedFile& MappedFile::operator=(MappedFile&& other) noexcept {
  std::swap(data_, other.data_);
  std::swap(size_, other.size_);
  return *this;
}

Status MappedFile::open(const char* path, MappedFile* out) {
  // O_NONBLOCK: opening a FIFO must not wait for a writer.
  const FileDescriptor fd(::open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK));
  if (fd.get() < 0) return refused(path);
  struct stat info = {};
  if (::fstat(fd.get(), &info) != 0) return refused(path);
  if (S_ISDIR(info.st_mode)) {
    return Status::os_failure(EISDIR, "%s: %s", path, error_text(EISDIR));
  }
  if (!S_ISREG(info.st_mode)) return Status::value_error("%s is not a regular file", path);
  MappedFile file;
  file.size_ = info.st_size;
  if (file.size_ > 0) {
    const void* data =
        ::mmap(nullptr, static_cast<size_t>(file.size_), PROT_READ, MAP_PRIVATE, fd.get(), 0);
    if (data == MAP_FAILED) return refused(path);
    file.data_ = static_cast<const uint8_t*>(data);
  }
  *out = std::move(file);
  return {};
}

int usable_processors() {
  int64_t count = 1;
  cpu_set_t set;
  CPU_ZERO(&set);
  if (::sched_getaffinity(0, sizeof(set), &set) == 0) {
    count = CPU_COUNT(&set);
  } else if (const long online = ::sysconf(_SC_NPROCESSORS_ONLN); online > 0) {
    count = online;  // more processors than a cpu_set_t holds
  }
  if (const int64_t quota = cgroup_quota(); quota > 0 && quota < count) count = quota;
  return count > 0 ? static_cast<int>(count) : 1;
}

bool start_thread(void (*body)(void* argument), void* argument) {
  // Signals belong to the host's threads: Python runs its handlers on the main one.
  sigset_t all;
  sigset_t before;
  sigfillset(&all);
  ::pthread_sigmask(SIG_BLOCK, &all, &before);
  bool started = true;
  try {
    std::thread(body, argument).detach();
  } catch (const std::system_error&) {
    started = false;
  }
  ::pthread_sigmask(SIG_SETMASK, &before, nullptr);
  return started;
}

}  // namespace qk
