// Rotary position embedding: pairs of a head's values rotated by angles that grow with the position.
#pragma once

#include <cstdint>

#include "core/parallel.h"
#include "core/status.h"
#include "core/views.h"

namespace qk {

// Which values form pair i of a head of d: (2i, 2i + 1), as GGUF stores Llama's weights, or
// (i, i + d / 2), as GPT-NeoX does.
enum class RopeKind : uint8_t { kInterleaved, kNeoX };

// The angle of pair i at a position p is  p / scale * base^(-2i / d) / factors[i].
struct Rope {
  RopeKind kind = RopeKind::kInterleaved;
  double base = 10000.0;
  double scale = 1.0;
  const float* factors = nullptr;  // (head_dim / 2), or null for ones
};

// The angle of each of the head_dim / 2 pairs at position 1.
void rope_frequencies(const Rope& rope, int64_t head_dim, double* frequencies);

// Writes cosine and sine of each pair's angle at a position, in turn: 2 * pairs floats.
void rope_sincos(const double* frequencies, int64_t pairs, int64_t position, float* sincos);

// The kind of a name: "interleaved" or "neox".
Status parse_rope_kind(const char* name, RopeKind* out);
const char* rope_kind_name(RopeKind kind);

// ValueError where a position's angle is past the doubles. Positions as for rope_rows.
Status check_angles(const Rope& rope, const ArrayView& x, const int64_t* positions,
                    bool consecutive);

// x of shape (..., m, head_dim), in a float type, with an even head_dim of at most kMaxHeadDim;
// base and scale positive and finite.
Status check_rope(const Rope& rope, const ArrayView& x);

// Factors of shape (head_dim / 2,), in a float type, read into `out`; all positive and finite.
Status read_factors(const ArrayView& factors, int64_t head_dim, float* out);

// out = x with token j of every (m, head_dim) at positions[j], or at *positions + j where
// `consecutive`. Both were checked; out may be x itself.
void rope_rows(const Parallel& parallel, const Rope& rope, const ArrayView& x,
               const int64_t* positions, bool consecutive, const ArrayView& out);

// Rotates `heads` heads that lie one after another, in place.
void rotate(RopeKind kind, int64_t head_dim, const float* sincos, int64_t heads, float* x);

}  // namespace qk
