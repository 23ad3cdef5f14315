#include "ops/rope.h"

#include <cmath>

namespace qk {

void rope_frequencies(const Rope& rope, int64_t head_dim, double* frequencies) {
  for (int64_t i = 0; i < head_dim / 2; ++i) {
    const double exponent = -2.0 * static_cast<double>(i) / static_cast<double>(head_dim);
    frequencies[i] = std::pow(rope.base, exponent) / rope.scale;
    if (rope.factors != nullptr) frequencies[i] /= static_cast<double>(rope.factors[i]);
  }
}

void rope_turns(const double* frequencies, int64_t pairs, int64_t position, float* turns) {
  for (int64_t i = 0; i < pairs; ++i) {
    const double angle = static_cast<double>(position) * frequencies[i];
    turns[2 * i] = static_cast<float>(std::cos(angle));
    turns[2 * i + 1] = static_cast<float>(std::sin(angle));
  }
}

void rotate(RopeKind kind, int64_t head_dim, const float* turns, int64_t heads, float* x) {
  const int64_t step = kind == RopeKind::kInterleaved ? 2 : 1;
  const int64_t apart = kind == RopeKind::kInterleaved ? 1 : head_dim / 2;
  for (int64_t head = 0; head < heads; ++head) {
    float* first = x + head * head_dim;
    for (int64_t i = 0; i < head_dim / 2; ++i) {
      const float a = first[i * step];
      const float b = first[i * step + apart];
      first[i * step] = a * turns[2 * i] - b * turns[2 * i + 1];
      first[i * step + apart] = a * turns[2 * i + 1] + b * turns[2 * i];
    }
  }
}

}  // namespace qk
