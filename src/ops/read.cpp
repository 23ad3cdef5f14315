#include "ops/read.h"

#include <atomic>
#include <cstring>

#include "core/checked.h"
#include "core/cpu.h"
#include "core/macros.h"

namespace qk {
namespace {

constexpr const char* kNames[kReadVariants] = {"one_stream", "prefetch", "two_streams",
                                               "four_streams"};
constexpr int64_t kLine = 64;
// Hardware prefetchers stop at the end of a page of 4 KiB.
constexpr int64_t kAhead = 4096;
// A range is worth another thread from here on: half a microsecond of reading, as for a product.
constexpr int64_t kGrainLines = 256;
constexpr int kAccumulators = 4;

// NOLINTBEGIN(modernize-use-using): the attribute of a using is not taken by every compiler
typedef uint64_t Words16 __attribute__((vector_size(16)));
typedef uint64_t Words32 __attribute__((vector_size(32)));
typedef uint64_t Words64 __attribute__((vector_size(64)));
// NOLINTEND(modernize-use-using)

QK_INLINE uint64_t sum_words(const uint8_t* data, int64_t size) {
  uint64_t sum = 0;
  for (int64_t at = 0; at < size; at += 8) {
    uint64_t word = 0;
    __builtin_memcpy(&word, data + at, static_cast<size_t>(size - at < 8 ? size - at : 8));
    sum += word;
  }
  return sum;
}

// Four vectors V a step, spread over kStreams equal streams of the piece; what is left over at its
// end goes word by word.
template <class V, int kStreams, bool kPrefetch>
QK_INLINE uint64_t sum_streams(const uint8_t* data, int64_t size) {
  constexpr int64_t kBytes = sizeof(V);
  constexpr int kLoads = kAccumulators / kStreams;
  constexpr int64_t kStep = kLoads * kBytes;
  const int64_t stream_bytes = size / kStreams / kStep * kStep;
  V sums[kAccumulators] = {};
  for (int64_t at = 0; at < stream_bytes; at += kStep) {
    if constexpr (kPrefetch) {
      for (int64_t line = 0; line < kStep; line += kLine) {
        __builtin_prefetch(data + at + line + kAhead);
      }
    }
    QK_UNROLL(4)
    for (int i = 0; i < kAccumulators; ++i) {
      V words;
      __builtin_memcpy(&words, data + i / kLoads * stream_bytes + at + i % kLoads * kBytes,
                       sizeof(V));
      sums[i] += words;
    }
  }
  const V total = sums[0] + sums[1] + sums[2] + sums[3];
  uint64_t sum = sum_words(data + kStreams * stream_bytes, size - kStreams * stream_bytes);
  for (size_t i = 0; i < sizeof(V) / sizeof(uint64_t); ++i) sum += total[i];
  return sum;
}

template <class V>
QK_INLINE uint64_t sum_variant(const uint8_t* data, int64_t size, ReadVariant variant) {
  switch (variant) {
    case ReadVariant::kOneStream: return sum_streams<V, 1, false>(data, size);
    case ReadVariant::kPrefetch: return sum_streams<V, 1, true>(data, size);
    case ReadVariant::kTwoStreams: return sum_streams<V, 2, false>(data, size);
    case ReadVariant::kFourStreams: return sum_streams<V, 4, false>(data, size);
  }
  return 0;
}

using SumFn = uint64_t (*)(const uint8_t* data, int64_t size, ReadVariant variant);

uint64_t sum_baseline(const uint8_t* data, int64_t size, ReadVariant variant) {
  return sum_variant<Words16>(data, size, variant);
}

#if defined(__x86_64__)

__attribute__((target("avx2"))) uint64_t sum_avx2(const uint8_t* data, int64_t size,
                                                  ReadVariant variant) {
  return sum_variant<Words32>(data, size, variant);
}

__attribute__((target("avx512f"))) uint64_t sum_avx512(const uint8_t* data, int64_t size,
                                                       ReadVariant variant) {
  return sum_variant<Words64>(data, size, variant);
}

// The widest loads that this CPU has, whatever ISA the kernels use.
SumFn widest_sum() {
  const uint64_t features = cpu_features();
  if ((features & cpu::avx512f) != 0) return sum_avx512;
  return (features & cpu::avx2) != 0 ? sum_avx2 : sum_baseline;
}

#else

SumFn widest_sum() { return sum_baseline; }

#endif

}  // namespace

const char* read_variant_name(ReadVariant variant) { return kNames[static_cast<int>(variant)]; }

Status parse_read_variant(const char* name, ReadVariant* out) {
  for (int i = 0; i < kReadVariants; ++i) {
    if (std::strcmp(name, kNames[i]) != 0) continue;
    *out = static_cast<ReadVariant>(i);
    return {};
  }
  return Status::value_error(
      "variant='%.40s' is not one of one_stream, prefetch, two_streams, four_streams", name);
}

uint64_t read_pass(const Parallel& parallel, const uint8_t* data, int64_t size,
                   ReadVariant variant) {
  static const SumFn kSum = widest_sum();
  std::atomic<uint64_t> sum{0};
  auto lines = [&](int64_t begin, int64_t end) {
    const int64_t first = begin * kLine;
    const int64_t last = end * kLine < size ? end * kLine : size;
    sum.fetch_add(kSum(data + first, last - first, variant), std::memory_order_relaxed);
  };
  parallel(ceil_div(size, kLine), kGrainLines, lines);
  return sum.load(std::memory_order_relaxed);
}

}  // namespace qk
