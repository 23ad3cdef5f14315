// The sampler as a Python object.
#pragma once

#include <iterator>
#include <mutex>
#include <pybind11/numpy.h>
#include <string>
#include <vector>

#include "bind/errors.h"
#include "bind/fork_safe.h"
#include "bind/gil.h"
#include "core/fp_environment.h"
#include "llama/sampler.h"

namespace qk::bind {

// A sampler that threads may share. Its lock is taken last, and held without the GIL.
class PySampler {
 public:
  PySampler(double temperature, int64_t top_k, double top_p, double min_p,
            double repetition_penalty, int64_t repeat_last, uint64_t seed) {
    const FpEnvironment environment;
    raise_if_failed(llama::Sampler::make({.temperature = temperature,
                                          .top_k = top_k,
                                          .top_p = top_p,
                                          .min_p = min_p,
                                          .repetition_penalty = repetition_penalty,
                                          .repeat_last = repeat_last,
                                          .seed = seed},
                                         &sampler_));
  }

  void accept(int64_t token) {
    const ReleasedGil unlocked;
    const std::scoped_lock lock(mutex_.here());
    sampler_.accept(static_cast<int32_t>(token));
  }

  int64_t choose(const pybind11::array_t<float, pybind11::array::c_style>& logits) {
    if (logits.ndim() != 1 || logits.size() == 0) {
      throw pybind11::value_error("logits are a vector with values, not of " +
                                  std::to_string(logits.ndim()) + " dimensions");
    }
    const float* values = logits.data();
    const int64_t count = logits.size();
    int32_t token = 0;
    Status status;
    {
      const ReleasedGil unlocked;
      const std::scoped_lock lock(mutex_.here());
      status = sampler_.choose(values, count, &token);
    }
    raise_if_failed(status);
    return token;
  }

  // The same, and accepts the token. Called without the GIL.
  Status next(const std::vector<float>& logits, int32_t* token) {
    const std::scoped_lock lock(mutex_.here());
    QK_TRY(sampler_.choose(logits.data(), std::ssize(logits), token));
    sampler_.accept(*token);
    return {};
  }

 private:
  llama::Sampler sampler_;
  ForkSafe<std::mutex> mutex_;
};

}  // namespace qk::bind
