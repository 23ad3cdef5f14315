#include "llama/sampler.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "core/fp_environment.h"

namespace qk::llama {
namespace {

// The index of the first largest value, or -1 where a value is NaN. Sixteen maxima side by side
// need no order among them, so that they are found in vectors.
int64_t argmax(const float* values, int64_t count) {
  constexpr int64_t kLanes = 16;
  float most[kLanes];
  bool is_nan = false;
  std::fill_n(most, kLanes, values[0]);
  int64_t i = 0;
  for (; i + kLanes <= count; i += kLanes) {
    int unordered = 0;
    for (int64_t j = 0; j < kLanes; ++j) {
      const float value = values[i + j];
      unordered |= static_cast<int>(value != value);
      most[j] = value > most[j] ? value : most[j];
    }
    is_nan = is_nan || unordered != 0;
  }
  float largest = *std::max_element(most, most + kLanes);
  for (; i < count; ++i) {
    is_nan = is_nan || std::isnan(values[i]);
    largest = values[i] > largest ? values[i] : largest;
  }
  return is_nan ? -1 : std::find(values, values + count, largest) - values;
}

// What is past the floats is infinite.
float to_float(double value) {
  constexpr double kMost = std::numeric_limits<float>::max();
  if (std::abs(value) <= kMost) return static_cast<float>(value);
  return value > 0 ? std::numeric_limits<float>::infinity()
                   : -std::numeric_limits<float>::infinity();
}

// Both are false for a NaN.
bool is_fraction(double value) { return value >= 0.0 && value <= 1.0; }
bool is_not_negative(double value) { return value >= 0.0 && std::isfinite(value); }

}  // namespace

Status Sampler::make(const SamplerOptions& options, Sampler* out) {
  if (!is_not_negative(options.temperature)) {
    return Status::value_error("temperature=%g, expected 0 or more", options.temperature);
  }
  if (options.top_k < 0) {
    return Status::value_error("top_k=%lld, expected 0 or more", ll(options.top_k));
  }
  if (!is_fraction(options.top_p) || !is_fraction(options.min_p)) {
    return Status::value_error("top_p=%g and min_p=%g, expected 0 to 1", options.top_p,
                               options.min_p);
  }
  if (!is_not_negative(options.repetition_penalty) || options.repetition_penalty == 0.0) {
    return Status::value_error("repetition_penalty=%g, expected more than 0",
                               options.repetition_penalty);
  }
  constexpr int64_t kMostTokens = 1 << 20;
  if (options.repeat_last < 0 || options.repeat_last > kMostTokens) {
    return Status::value_error("repeat_last=%lld, expected 0 to %lld", ll(options.repeat_last),
                               ll(kMostTokens));
  }
  *out = Sampler();
  out->options_ = options;
  out->state_ = options.seed;
  out->window_.resize(static_cast<size_t>(options.repeat_last));
  return {};
}

void Sampler::accept(int32_t token) {
  if (window_.empty()) return;
  window_[static_cast<size_t>(accepted_) % window_.size()] = token;
  ++accepted_;
}

Status Sampler::choose(const float* logits, int64_t count, int32_t* token) {
  const FpEnvironment environment;
  logits = penalised(logits, count);
  const int64_t likeliest = argmax(logits, count);
  if (likeliest < 0) {
    return Status::value_error("the logits hold NaN: some weights are not finite");
  }
  if (options_.temperature == 0.0) {
    *token = static_cast<int32_t>(likeliest);
    return {};
  }
  keep_largest(logits, count);
  keep_probable();
  *token = draw();
  return {};
}

const float* Sampler::penalised(const float* logits, int64_t count) {
  const auto used = std::min<int64_t>(accepted_, static_cast<int64_t>(window_.size()));
  if (options_.repetition_penalty == 1.0 || used == 0) return logits;
  logits_.assign(logits, logits + count);
  for (auto it = window_.begin(); it != window_.begin() + used; ++it) {
    if (*it < 0 || *it >= count || std::find(window_.begin(), it, *it) != it) continue;
    float& logit = logits_[static_cast<size_t>(*it)];
    const auto exact = static_cast<double>(logit);
    logit = to_float(logit > 0.0f ? exact / options_.repetition_penalty
                                  : exact * options_.repetition_penalty);
  }
  return logits_.data();
}

// The top_k candidates, the likeliest first, equal ones by their number.
void Sampler::keep_largest(const float* logits, int64_t count) {
  candidates_.resize(static_cast<size_t>(count));
  for (int64_t i = 0; i < count; ++i) {
    candidates_[static_cast<size_t>(i)] = {logits[i], static_cast<int32_t>(i)};
  }
  const auto before = [](const Candidate& a, const Candidate& b) {
    return a.logit != b.logit ? a.logit > b.logit : a.token < b.token;
  };
  const int64_t kept = options_.top_k == 0 ? count : std::min(options_.top_k, count);
  if (kept < count) {
    std::nth_element(candidates_.begin(), candidates_.begin() + kept, candidates_.end(), before);
    candidates_.resize(static_cast<size_t>(kept));
  }
  std::ranges::sort(candidates_, before);
}

// What top_p and min_p leave of them: always the likeliest.
void Sampler::keep_probable() {
  weights_.resize(candidates_.size());
  const float most = candidates_.front().logit;
  double total = 0.0;
  for (size_t i = 0; i < candidates_.size(); ++i) {
    weights_[i] = candidates_[i].logit == most
                      ? 1.0
                      : std::exp(static_cast<double>(candidates_[i].logit) - most);
    total += weights_[i];
  }
  size_t kept = 1;
  double reached = weights_[0];
  while (kept < candidates_.size() && reached < options_.top_p * total &&
         weights_[kept] >= options_.min_p) {
    reached += weights_[kept];
    ++kept;
  }
  candidates_.resize(kept);
}

int32_t Sampler::draw() {
  const float most = candidates_.front().logit;
  double total = 0.0;
  for (size_t i = 0; i < candidates_.size(); ++i) {
    const double below =
        candidates_[i].logit == most ? 0.0 : static_cast<double>(candidates_[i].logit) - most;
    total += std::exp(below / options_.temperature);
    weights_[i] = total;
  }
  const double point = uniform() * total;
  const auto end = weights_.begin() + static_cast<std::ptrdiff_t>(candidates_.size());
  const auto found = std::upper_bound(weights_.begin(), end, point);
  const auto index = std::min<std::ptrdiff_t>(found - weights_.begin(), end - weights_.begin() - 1);
  return candidates_[static_cast<size_t>(index)].token;
}

// SplitMix64 (Steele, Lea and Flood, 2014), 53 bits of it in [0, 1).
double Sampler::uniform() {
  state_ += 0x9e3779b97f4a7c15u;
  uint64_t z = state_;
  z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
  z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
  z ^= z >> 31;
  return static_cast<double>(z >> 11) * 0x1p-53;
}

}  // namespace qk::llama
