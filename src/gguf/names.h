// The names of a file's keys or tensors in their order, found by binary search over hashes.
//
// Names are views into the file, and sorting keeps the cost bounded whatever they are: a hash table
// could be filled with colliding names.
#pragma once

#include <cstdint>
#include <string_view>
#include <vector>

namespace qk::gguf {

class Names {
 public:
  void reserve(int64_t count);
  void add(std::string_view name) { names_.push_back(name); }

  // Makes find() work. Returns the index of a name that an earlier one equals, or -1.
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
  bool before(const Slot& slot, uint64_t hash, std::string_view name) const;

  std::vector<std::string_view> names_;
  std::vector<Slot> slots_;  // by hash, then by name
};

}  // namespace qk::gguf
