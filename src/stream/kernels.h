// The streaming micro-kernels in the idioms of an ISA.
//
// A line of 64 bytes is 16 words of four neighbouring columns; whatever a line's layout, its words
// belong to its rows in order. So each kernel only decides which bytes of x its words meet, keeps
// 16 sums a line, and leaves adding up those of a row to finish_rows().
//
// An int32 holds depth * 128 * 128 for every depth that is let in, and sums wrap on the way
// (isa/avx512_bytes.h): results are exact for all weights and activations, -128 too.
#pragma once

#include <cstddef>

#include "core/macros.h"
#include "stream/stream_table.h"

namespace qk {

inline constexpr int kLineWords = kStreamLine / 4;

// The sums of a line, in the vectors of an ISA.
template <class I>
struct LineSums {
  static constexpr int kBytes = 4 * I::kLanes;
  static constexpr int kVectors = kStreamLine / kBytes;

  typename I::ByteSums v[kVectors];

  // Words of rows in turn, kColumns of each, which all meet the same bytes of x.
  template <int kColumns>
  QK_INLINE void add_shared(const uint8_t* line, const int8_t* x) {
    const auto multiplier = I::template multiplier<kColumns>(x);
    for (int i = 0; i < kVectors; ++i) {
      v[i] = I::dot_bytes(v[i], I::load_words(line + i * kBytes), multiplier);
    }
  }
  QK_INLINE void store(uint32_t (&words)[kLineWords]) const {
    int32_t sums[kLineWords];
    for (int i = 0; i < kVectors; ++i) I::store_sums(sums + i * I::kLanes, v[i]);
    __builtin_memcpy(words, sums, sizeof(sums));
  }
};

// What a line's words come to for each of its rows, less what unsigned weights added.
template <class I, int kRows>
QK_INLINE void finish_rows(const LineSums<I>& sums, int64_t x_sum, int32_t* out) {
  constexpr int kWords = kLineWords / kRows;
  uint32_t words[kLineWords];
  sums.store(words);
  const auto excess = static_cast<uint32_t>(I::kByteBias * x_sum);
  for (int row = 0; row < kRows; ++row) {
    uint32_t sum = 0;
    for (int i = 0; i < kWords; ++i) sum += words[row * kWords + i];
    out[row] = static_cast<int32_t>(sum - excess);
  }
}

template <bool kAhead>
QK_INLINE void prefetch_line(const uint8_t* line, int64_t ahead) {
  if constexpr (kAhead) __builtin_prefetch(line + ahead);
}

// 64 columns of kRows rows that lie `stride` bytes apart. x is loaded once for all of them.
template <class I, int kRows>
QK_INLINE void add_columns(const uint8_t* line, int64_t stride, const int8_t* x,
                           LineSums<I> (&sums)[kRows]) {
  constexpr int kBytes = LineSums<I>::kBytes;
  QK_UNROLL(4)
  for (int i = 0; i < LineSums<I>::kVectors; ++i) {
    const auto multiplier = I::template multiplier<kBytes>(x + i * kBytes);
    QK_UNROLL(4)
    for (int row = 0; row < kRows; ++row) {
      const auto words = I::load_words(line + row * stride + i * kBytes);
      sums[row].v[i] = I::dot_bytes(sums[row].v[i], words, multiplier);
    }
  }
}

// dotprod and dotprod4: rows one after another, taken kRows at a time.
template <class I, int kRows, bool kAhead>
QK_INLINE void stream_rows(const StreamArgs& args) {
  const int64_t whole = args.depth / kStreamLine * kStreamLine;
  const int64_t rest = args.depth - whole;
  for (int64_t group = 0; group < args.groups; ++group) {
    const uint8_t* rows = args.weights + group * kRows * args.depth;
    LineSums<I> sums[kRows] = {};
    for (int64_t at = 0; at < whole; at += kStreamLine) {
      QK_UNROLL(4)
      for (int row = 0; row < kRows; ++row) {
        prefetch_line<kAhead>(rows + row * args.depth + at, args.ahead);
      }
      add_columns<I, kRows>(rows + at, args.depth, args.x + at, sums);
    }
    if (rest != 0) {  // completed on the stack, so that nothing past the rows is read
      uint8_t last[kRows][kStreamLine] = {};
      for (int row = 0; row < kRows; ++row) {
        __builtin_memcpy(last[row], rows + row * args.depth + whole, static_cast<size_t>(rest));
      }
      add_columns<I, kRows>(last[0], kStreamLine, args.x + whole, sums);
    }
    for (int row = 0; row < kRows; ++row) {
      finish_rows<I, 1>(sums[row], args.x_sum, args.out + group * kRows + row);
    }
  }
}

// dotprod4i and dotprod16i: lines of kRows rows. Four of them are summed apart, because each sum
// waits for the one before it.
template <class I, int kRows, bool kAhead>
QK_INLINE void stream_lines(const StreamArgs& args) {
  constexpr int kColumns = kStreamLine / kRows;
  constexpr int kChains = 4;
  const int64_t lines = args.depth / kColumns;
  const uint8_t* at = args.weights;
  for (int64_t group = 0; group < args.groups; ++group) {
    LineSums<I> sums[kChains] = {};
    const int8_t* x = args.x;
    int64_t line = 0;
    for (; line + kChains <= lines; line += kChains) {
      QK_UNROLL(4)
      for (LineSums<I>& chain : sums) {
        prefetch_line<kAhead>(at, args.ahead);
        chain.template add_shared<kColumns>(at, x);
        at += kStreamLine;
        x += kColumns;
      }
    }
    for (; line < lines; ++line, at += kStreamLine, x += kColumns) {
      prefetch_line<kAhead>(at, args.ahead);
      sums[0].template add_shared<kColumns>(at, x);
    }
    for (int chain = 1; chain < kChains; ++chain) {
      for (int i = 0; i < LineSums<I>::kVectors; ++i) {
        sums[0].v[i] = I::add_sums(sums[0].v[i], sums[chain].v[i]);
      }
    }
    finish_rows<I, kRows>(sums[0], args.x_sum, args.out + group * kRows);
  }
}

template <class I, StreamKernel K, bool kAhead>
QK_INLINE void run_stream(const StreamArgs& args) {
  if constexpr (K == StreamKernel::kDotprod) stream_rows<I, 1, kAhead>(args);
  if constexpr (K == StreamKernel::kDotprod4) stream_rows<I, 4, kAhead>(args);
  if constexpr (K == StreamKernel::kDotprod4i) stream_lines<I, 4, kAhead>(args);
  if constexpr (K == StreamKernel::kDotprod16i) stream_lines<I, 16, kAhead>(args);
}

// A loop that does not prefetch is one without the instruction.
template <class I, StreamKernel K>
void stream(const StreamArgs& args) {
  if (args.ahead == 0) {
    run_stream<I, K, false>(args);
  } else {
    run_stream<I, K, true>(args);
  }
}

}  // namespace qk
