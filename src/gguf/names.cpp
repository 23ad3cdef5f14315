#include "gguf/names.h"

#include <algorithm>
#include <cstring>
#include <random>

namespace qk::gguf {
namespace {

// GCC and Clang have it on every 64-bit target; -Wpedantic wants to be told.
__extension__ using Uint128 = unsigned __int128;

// What no file can know: hashes that depend on it collide for names by chance only.
struct Secret {
  uint64_t seed;
  uint64_t factor;
};

Secret draw() {
  std::random_device device;
  const auto word = [&device] { return uint64_t{device()} << 32 | device(); };
  return {word(), word() | 1};
}

// Both halves of a product, so that every bit of `word` reaches every bit of the result.
uint64_t mix(uint64_t word, uint64_t factor) {
  const Uint128 product = Uint128{word} * factor;
  return static_cast<uint64_t>(product) ^ static_cast<uint64_t>(product >> 64);
}

uint64_t hash_of(std::string_view name) {
  static const Secret kSecret = draw();
  uint64_t hash = mix(kSecret.seed ^ name.size(), kSecret.factor);
  for (size_t at = 0; at < name.size(); at += sizeof(uint64_t)) {
    uint64_t word = 0;
    std::memcpy(&word, name.data() + at, std::min(sizeof(word), name.size() - at));
    hash = mix(hash ^ word, kSecret.factor);
  }
  return hash;
}

}  // namespace

int64_t Names::seal() {
  slots_.clear();
  slots_.reserve(names_.size());
  for (uint32_t i = 0; i < names_.size(); ++i) slots_.push_back({hash_of(names_[i]), i});
  std::ranges::sort(slots_, [](const Slot& a, const Slot& b) {
    return a.hash != b.hash ? a.hash < b.hash : a.index < b.index;
  });
  // The first of all repetitions in the file's order, which is the same under every secret.
  int64_t twice = -1;
  for (size_t begin = 0; begin < slots_.size();) {
    const size_t end = end_of_run(begin);
    const int64_t index = first_twice(begin, end);
    if (index >= 0 && (twice < 0 || index < twice)) twice = index;
    begin = end;
  }
  return twice;
}

size_t Names::end_of_run(size_t begin) const {
  size_t end = begin + 1;
  while (end < slots_.size() && slots_[end].hash == slots_[begin].hash) ++end;
  return end;
}

// A run of more than one is one name over and over, which the first comparison finds: different
// names have different hashes but for a chance in 2^64.
int64_t Names::first_twice(size_t begin, size_t end) const {
  for (size_t later = begin + 1; later < end; ++later) {
    for (size_t at = begin; at < later; ++at) {
      if (names_[slots_[at].index] == names_[slots_[later].index]) return slots_[later].index;
    }
  }
  return -1;
}

int64_t Names::find(std::string_view name) const {
  const uint64_t hash = hash_of(name);
  auto slot = std::ranges::lower_bound(slots_, hash, {}, &Slot::hash);
  for (; slot != slots_.end() && slot->hash == hash; ++slot) {
    if (names_[slot->index] == name) return slot->index;
  }
  return -1;
}

}  // namespace qk::gguf
