// A Llama model: tokens in, logits out, keys and values of what it has seen kept in between.
#pragma once

#include <memory>
#include <span>
#include <vector>

#include "core/parallel.h"
#include "kernels/table.h"
#include "llama/cache.h"
#include "llama/config.h"
#include "llama/profile.h"
#include "llama/weights.h"
#include "llama/workspace.h"
#include "ops/activations.h"
#include "ops/rope.h"

namespace qk::llama {

struct Options {
  CacheType cache = CacheType::kF16;
  Act act = Act::kInt16;
  int64_t context = 0;  // the most tokens that a sequence may have
};

class Model {
 public:
  // The most tokens that one forward() takes: as many as make products that are bound by
  // arithmetic, few enough for a workspace of some megabytes.
  static constexpr int64_t kBatch = 512;

  // The weights' memory must outlive the model. ValueError for a
  // configuration or weights that do not fit together.
  static Status make(const KernelTable& kernels, const Config& config, Weights weights,
                     const Options& options, std::unique_ptr<Model>* out);

  // Appends `count` tokens, 1 to kBatch, to the sequence. Logits of the last token, or of every
  // one, go to `logits`, rows of vocabulary() floats; null computes none. ValueError for an id
  // outside the vocabulary or a sequence longer than the context, and then nothing is changed.
  enum class Want : uint8_t { kNone, kLast, kAll };
  Status forward(const Parallel& parallel, const int64_t* tokens, int64_t count, Want want,
                 float* logits);

  // Forgets the tokens from `position` on. ValueError where there are none.
  Status truncate(int64_t position);

  const KernelTable& kernels() const { return kernels_; }
  int64_t vocabulary() const { return weights_.embedding.n; }
  int64_t context() const { return options_.context; }
  int64_t position() const { return position_; }
  int64_t weight_bytes() const { return bytes_of_a_token(config_, weights_); }
  int64_t cache_bytes(int64_t position) const { return cache_.bytes_before(position); }
  Profile& profile() { return profile_; }

 private:
  // One pass over a few tokens: where they lie, and who computes.
  struct Pass {
    const Parallel& parallel;
    int64_t first;
    int64_t count;
  };

  Model(const KernelTable& kernels, const Config& config, Weights weights, const Options& options)
      : kernels_(kernels), config_(config), weights_(std::move(weights)), options_(options) {}

  Status check(const int64_t* tokens, int64_t count) const;
  Status embed(const Pass& pass, const int64_t* tokens);
  Status attend(const Pass& pass, int64_t index);
  void place(const Pass& pass, const Layer& layer, const CacheView& cache);
  Status feed_forward(const Pass& pass, const Layer& layer);
  Status score(const Pass& pass, Want want, float* logits);
  Status quantize(const Parallel& parallel, const Rows& x, int64_t m, int64_t k, Act act,
                  std::span<const float> gains, ActivationsView* out);

  const KernelTable& kernels_;
  Config config_;
  Weights weights_;
  Options options_;
  Rope rope_;
  std::vector<double> frequencies_;  // (head_dim / 2)
  Cache cache_;
  Workspace work_;
  Profile profile_;
  int64_t position_ = 0;
};

}  // namespace qk::llama
