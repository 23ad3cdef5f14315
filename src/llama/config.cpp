#include "llama/config.h"

#include <cmath>
#include <initializer_list>

#include "kernels/dense.h"

namespace qk::llama {
namespace {

// False for a NaN.
bool is_positive(double value) { return value > 0 && std::isfinite(value); }

}  // namespace

Status check_config(const Config& config) {
  if (config.architecture == nullptr) return Status::value_error("no architecture is given");
  // Far above any model, and low enough that products of two of them fit.
  constexpr int64_t kMost = int64_t{1} << 24;
  struct Count {
    const char* name;
    int64_t value;
  };
  for (const Count& count :
       {Count{"layers", config.layers}, Count{"width", config.width},
        Count{"hidden", config.hidden}, Count{"heads", config.heads},
        Count{"kv_heads", config.kv_heads}, Count{"head_dim", config.head_dim}}) {
    if (count.value >= 1 && count.value <= kMost) continue;
    return Status::value_error("%s is %lld, expected 1 to %lld", count.name, ll(count.value),
                               ll(kMost));
  }
  if (config.heads % config.kv_heads != 0) {
    return Status::value_error("%lld heads do not share %lld key heads evenly", ll(config.heads),
                               ll(config.kv_heads));
  }
  if (config.head_dim % 2 != 0 || config.head_dim > kMaxHeadDim) {
    return Status::value_error("heads of %lld values, supported are even sizes to %lld",
                               ll(config.head_dim), ll(kMaxHeadDim));
  }
  const bool rotates = is_positive(config.rope_base) && is_positive(config.rope_scale);
  if (!rotates || !std::isfinite(config.epsilon) || config.epsilon < 0) {
    return Status::value_error(
        "RoPE base %g and scale %g must be positive, epsilon %g not negative", config.rope_base,
        config.rope_scale, static_cast<double>(config.epsilon));
  }
  return {};
}

}  // namespace qk::llama
