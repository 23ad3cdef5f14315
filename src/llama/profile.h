// Where a forward pass spends its time, operator by operator.
#pragma once

#include <array>
#include <chrono>
#include <cstddef>
#include <cstdint>

namespace qk::llama {

enum class Part : uint8_t { kEmbedding, kQkv, kRope, kAttention, kOutput, kGateUp, kDown, kHead };
inline constexpr std::array<const char*, 8> kPartNames = {
    "embedding",        "qkv",         "rope and cache", "attention",
    "attention output", "gate and up", "down",           "head"};

class Profile {
 public:
  void start() { last_ = Clock::now(); }

  // What has passed since the last call belongs to `part`.
  void lap(Part part) {
    const Clock::time_point now = Clock::now();
    seconds_[static_cast<size_t>(part)] += std::chrono::duration<double>(now - last_).count();
    last_ = now;
  }

  const std::array<double, kPartNames.size()>& seconds() const { return seconds_; }
  void reset() { seconds_ = {}; }

 private:
  using Clock = std::chrono::steady_clock;
  Clock::time_point last_;
  std::array<double, kPartNames.size()> seconds_{};
};

}  // namespace qk::llama
