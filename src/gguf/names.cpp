#include "gguf/names.h"

#include <algorithm>
#include <functional>

namespace qk::gguf {
namespace {

uint64_t hash_of(std::string_view name) { return std::hash<std::string_view>{}(name); }

}  // namespace

void Names::reserve(int64_t count) {
  names_.reserve(static_cast<size_t>(count));
  slots_.reserve(static_cast<size_t>(count));
}

bool Names::before(const Slot& slot, uint64_t hash, std::string_view name) const {
  if (slot.hash != hash) return slot.hash < hash;
  return names_[slot.index] < name;
}

int64_t Names::seal() {
  slots_.clear();
  for (uint32_t i = 0; i < names_.size(); ++i) slots_.push_back({hash_of(names_[i]), i});
  std::ranges::sort(
      slots_, [this](const Slot& a, const Slot& b) { return before(a, b.hash, names_[b.index]); });
  for (size_t i = 1; i < slots_.size(); ++i) {
    const Slot& a = slots_[i - 1];
    const Slot& b = slots_[i];
    if (a.hash == b.hash && names_[a.index] == names_[b.index]) {
      return std::max(a.index, b.index);
    }
  }
  return -1;
}

int64_t Names::find(std::string_view name) const {
  const uint64_t hash = hash_of(name);
  const auto slot =
      std::ranges::partition_point(slots_, [&](const Slot& at) { return before(at, hash, name); });
  if (slot == slots_.end() || names_[slot->index] != name) return -1;
  return slot->index;
}

}  // namespace qk::gguf
