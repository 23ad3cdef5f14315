// Where a forward pass spends its time, operator by operator.
#pragma once

#include <array>
#include <chrono>
#include <cstddef>
#include <cstdint>

namespace qk::llama {

enum class Stage : uint8_t { kEmbedding, kQkv, kRope, kAttention, kOutput, kGateUp, kDown, kHead };
inline constexpr std::array<const char*, 8> kStageNames = {
    "embedding",        "qkv",         "rope and cache", "attention",
    "attention output", "gate and up", "down",           "head"};

class Profile {
 public:
  void start() { last_ = Clock::now(); }

  // What has passed since the last call belongs to `stage`.
  void lap(Stage stage) {
    const Clock::time_point now = Clock::now();
    seconds_[static_cast<size_t>(stage)] += std::chrono::duration<double>(now - last_).count();
    last_ = now;
  }

  const std::array<double, kStageNames.size()>& seconds() const { return seconds_; }
  void reset() { seconds_ = {}; }

 private:
  using Clock = std::chrono::steady_clock;
  Clock::time_point last_;
  std::array<double, kStageNames.size()> seconds_{};
};

}  // namespace qk::llama
