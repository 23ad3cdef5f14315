// Everything that differs between operating systems: file maps, processors, threads. os_linux.cpp
// is the one implementation so far.
#pragma once

#include <cstdint>

#include "core/status.h"

namespace qk {

// A whole file, mapped privately and read-only. Move-only; unmaps on destruction.
class MappedFile {
 public:
  MappedFile() = default;
  ~MappedFile();
  MappedFile(MappedFile&& other) noexcept;
  MappedFile& operator=(MappedFile&& other) noexcept;
  MappedFile(const MappedFile&) = delete;
  MappedFile& operator=(const MappedFile&) = delete;

  // OSError where the system refuses; ValueError for what is not a regular file. An empty file
  // maps to size 0 and a null pointer.
  static Status open(const char* path, MappedFile* out);

  const uint8_t* data() const { return data_; }
  int64_t size() const { return size_; }

 private:
  const uint8_t* data_ = nullptr;
  int64_t size_ = 0;
};

// The processors this process may run on: its affinity mask, cut to the cgroup's CPU quota
// (rounded up); at least 1.
int usable_processors();

// Starts a detached thread that takes no signals; false where the system has none to give.
bool start_thread(void (*body)(void* argument), void* argument);

}  // namespace qk
