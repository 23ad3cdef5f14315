// Reading memory and nothing else: the time that no product of the same bytes can beat.
#pragma once

#include <cstdint>

#include "core/parallel.h"
#include "core/status.h"

namespace qk {

// How a thread walks over its piece. Which one is fastest depends on the machine's prefetchers, so
// a measurement takes the best of them all.
enum class ReadVariant : uint8_t {
  kOneStream,    // wide loads in order, four accumulators
  kPrefetch,     // the same, asking for each line a page ahead
  kTwoStreams,   // the two halves of the piece side by side
  kFourStreams,  // its four quarters
};

inline constexpr int kReadVariants = 4;

// "one_stream", "prefetch", "two_streams" or "four_streams".
const char* read_variant_name(ReadVariant variant);
Status parse_read_variant(const char* name, ReadVariant* out);

// The sum modulo 2^64 of the bytes as 64-bit words, the last one completed with zero bytes. Every
// byte is read once, whatever the alignment, in pieces that `parallel` hands out.
uint64_t read_pass(const Parallel& parallel, const uint8_t* data, int64_t size,
                   ReadVariant variant);

}  // namespace qk
