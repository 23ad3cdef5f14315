// The names of a file's keys or tensors in their order, found by binary search over hashes.
//
// Names are views into the file. Hashes are keyed by a secret of the process, so that no file can
// be made of names that collide, and the cost stays that of a sort of numbers.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>
#include <vector>

namespace qk::gguf {

class Names {
 public:
  void add(std::string_view name) { names_.push_back(name); }

  // Makes find() work. Returns the first index of a name that an earlier one equals, or -1.
  int64_t seal();

  int64_t size() const { return static_cast<int64_t>(names_.size()); }
  std::string_view operator[](int64_t index) const { return names_[static_cast<size_t>(index)]; }

  // The index of a name, or -1.
  int64_t find(std::string_view name) const;

 private:
  struct Slot {
    uint64_t hash;
    uint32_t index;
  };
  // Slots [begin, end) of one hash: where they end, and the first index that repeats a name, or -1.
  size_t end_of_run(size_t begin) const;
  int64_t first_twice(size_t begin, size_t end) const;

  std::vector<std::string_view> names_;
  std::vector<Slot> slots_;  // by hash, then by index
};

}  // namespace qk::gguf
