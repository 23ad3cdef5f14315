// Everything that differs between operating systems: file maps, processors, threads. os_linux.cpp
// is the one implementation so far.
#pragma once

#include <cstdint>

#include "core/mapped_ranges.h"
#include "core/status.h"

namespace qk {

// The bytes of a whole file, read-only: mapped privately, or read into memory of their own.
// Move-only.
//
// A map costs nothing until it is touched, but the file stays the file: what is written to it may
// show, and what is cut off its end reads as zeros, at once or, from the next page on, with a mark
// (core/mapped_ranges.h). check_size() before a use and check_mapped() after it tell of that.
// read() is the way around.
class MappedFile {
 public:
  MappedFile() = default;
  ~MappedFile();
  MappedFile(MappedFile&& other) noexcept;
  MappedFile& operator=(MappedFile&& other) noexcept;
  MappedFile(const MappedFile&) = delete;
  MappedFile& operator=(const MappedFile&) = delete;

  // Both: OSError where the system refuses; ValueError for what is not a regular file. An empty
  // file has size 0 and a null pointer.
  static Status open(const char* path, MappedFile* out);
  static Status read(const char* path, MappedFile* out);

  // ValueError where a mapped file has become shorter than it was when it was opened, or was so
  // when it was read.
  Status check_size() const;

  const uint8_t* data() const { return data_; }
  int64_t size() const { return size_; }

 private:
  const uint8_t* data_ = nullptr;
  int64_t size_ = 0;
  int fd_ = -1;  // kept open while mapped, for check_size()
  MappedRange* range_ = nullptr;
};

inline constexpr int64_t kHugePage = 2 << 20;

// Asks for huge pages behind `size` bytes at a multiple of kHugePage: a hint, which may be refused.
// Reading 2 MiB pages is up to 1.5 times as fast as reading 4 KiB ones.
void advise_huge_pages(void* memory, int64_t size);

// The processors that the calling thread's affinity mask names; at least 1.
int64_t processors_of_mask();

// The CPU quota of this process's control groups, in whole processors; 0 where there is none.
int64_t processors_of_quota();

// A clock that costs some nanoseconds to read, and is some milliseconds behind.
int64_t coarse_milliseconds();

// The number of this process: another one in a forked child.
int64_t process_id();

// Asks for the registers of AMX tiles, which this process may use from then on; false where the
// system does not hand them out.
bool request_tile_registers();

// A function of a library that this process has loaded already, by the name of its file; null where
// there is none.
void* find_loaded(const char* library, const char* function);

// Starts a detached thread that takes no signals but for faults of its own; false where the system
// has none to give, or no memory for it.
bool start_thread(void* (*body)(void* argument), void* argument);

// The number of the calling thread, for push_away().
int thread_number();

// Moves a thread of this process that waits for a processor: push_away() from the calling thread's to
// another one that it may use, pull_here() to the calling thread's. Its affinity mask stays as it is.
// Nothing happens where the system refuses, and for thread 0, which is none.
void push_away(int thread);
void pull_here(int thread);

}  // namespace qk
