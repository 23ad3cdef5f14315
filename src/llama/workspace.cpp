#include "llama/workspace.h"

#include <algorithm>
#include <initializer_list>

#include "core/checked.h"
#include "ops/activations.h"

namespace qk::llama {

Status Workspace::reserve(const Config& config, int64_t batch) {
  struct Part {
    Rows* rows;
    int64_t width;
  };
  const Part parts[] = {
      {&x, config.width},      {&q, config.q_width()},        {&k, config.kv_width()},
      {&v, config.kv_width()}, {&attended, config.q_width()}, {&gate, config.hidden},
      {&up, config.hidden},    {&sincos, config.head_dim}};
  constexpr int64_t kFloats = kCacheLine / static_cast<int64_t>(sizeof(float));
  int64_t floats = 0;
  for (const Part& part : parts) {
    int64_t stride = 0;
    int64_t size = 0;
    if (!checked_round_up(part.width, kFloats, &stride) || !checked_mul(stride, batch, &size) ||
        !checked_add(floats, size, &floats)) {
      return Status::value_error("a batch of %lld tokens passes 2^63 bytes", ll(batch));
    }
    part.rows->stride = stride;
  }
  int64_t most = 0;
  for (const Act act : {Act::kInt16, Act::kFloat32, Act::kInt8}) {
    for (const int64_t depth : {config.width, config.q_width(), config.hidden}) {
      int64_t bytes = 0;
      QK_TRY(activations_bytes(act, batch, depth, &bytes));
      most = std::max(most, bytes);
    }
  }
  int64_t total = 0;
  if (!checked_mul(floats, static_cast<int64_t>(sizeof(float)), &total) ||
      !checked_add(total, most, &total)) {
    return Status::value_error("a batch of %lld tokens passes 2^63 bytes", ll(batch));
  }
  QK_TRY(memory.reserve(total));
  auto* next = reinterpret_cast<float*>(memory.data());
  for (const Part& part : parts) {
    part.rows->data = next;
    next += part.rows->stride * batch;
  }
  activations = reinterpret_cast<std::byte*>(next);
  return {};
}

}  // namespace qk::llama
