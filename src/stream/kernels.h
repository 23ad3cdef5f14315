// The streaming micro-kernels in the idioms of an ISA.
//
// A line of 64 bytes is 16 words of four neighbouring columns. Each kernel only decides which bytes
// of x a line's words meet, and to whose sums they go. It keeps four sums at least, line after line
// where a line has fewer vectors, because each addition waits for the one before it.
//
// An int32 holds depth * 128 * 128 for every depth that is let in, and sums wrap on the way
// (isa/avx512_bytes.h): results are exact for all weights and activations, -128 too.
#pragma once

#include <cstddef>

#include "core/macros.h"
#include "stream/stream_table.h"

namespace qk::QK_ISA {
namespace {

inline constexpr int kSumsAtOnce = 4;

template <class I>
inline constexpr int kVectorBytes = 4 * I::kLanes;
template <class I>
inline constexpr int kLineVectors = kStreamLine / kVectorBytes<I>;
// Lines whose vectors are enough for kSumsAtOnce: 4, 2 or 1.
template <class I>
inline constexpr int kLinesAtOnce = (kSumsAtOnce + kLineVectors<I> - 1) / kLineVectors<I>;

// Each line that is read prefetches one, in the order in which lines lie. Where rows are read side
// by side, prefetching each row's own next lines instead gains little: dotprod4 at k = 1024 reads 8
// GB/s without prefetching, 9 so, and 14 in this order (Zen 4).
template <bool kAhead>
QK_INLINE void prefetch_line(const uint8_t* line, int64_t ahead) {
  if constexpr (kAhead) __builtin_prefetch(line + ahead);
}

// Stores what the words of rows come to, kWords a row, less what unsigned weights added.
template <class I, int kWords, int kSums>
QK_INLINE void finish_rows(const typename I::ByteSums (&sums)[kSums], int64_t x_sum, int32_t* out) {
  int32_t stored[kSums * I::kLanes];
  for (int i = 0; i < kSums; ++i) I::store_sums(stored + i * I::kLanes, sums[i]);
  uint32_t words[kSums * I::kLanes];
  __builtin_memcpy(words, stored, sizeof(words));
  const auto excess = static_cast<uint32_t>(I::kByteBias * x_sum);
  for (int row = 0; row < kSums * I::kLanes / kWords; ++row) {
    uint32_t sum = 0;
    for (int i = 0; i < kWords; ++i) sum += words[row * kWords + i];
    out[row] = static_cast<int32_t>(sum - excess);
  }
}

// dotprod and dotprod4: the sums of rows that lie one after another, four for one or one for each.
template <class I, int kRows>
struct SumsOfRows {
  static constexpr int kPerRow = kSumsAtOnce / kRows;
  static constexpr int kLines = kPerRow == 1 ? 1 : kLinesAtOnce<I>;

  typename I::ByteSums v[kRows][kPerRow];

  // 64 columns of rows `stride` bytes apart, to the sums from number kFirst on, round and round.
  // x is loaded once for all rows.
  template <int kFirst>
  QK_INLINE void add(const uint8_t* line, int64_t stride, const int8_t* x) {
    typename I::Multiplier multipliers[kLineVectors<I>];
    QK_UNROLL(4)
    for (int i = 0; i < kLineVectors<I>; ++i) {
      multipliers[i] = I::template multiplier<kVectorBytes<I>>(x + i * kVectorBytes<I>);
    }
    QK_UNROLL(4)
    for (int row = 0; row < kRows; ++row) {
      QK_UNROLL(4)
      for (int i = 0; i < kLineVectors<I>; ++i) {
        auto& sums = v[row][(kFirst + i) % kPerRow];
        sums = I::dot_bytes(sums, line + row * stride + i * kVectorBytes<I>, multipliers[i]);
      }
    }
  }
  QK_INLINE void finish(int64_t x_sum, int32_t* out) {
    for (int row = 0; row < kRows; ++row) {
      for (int i = 1; i < kPerRow; ++i) v[row][0] = I::add_sums(v[row][0], v[row][i]);
      const typename I::ByteSums whole[] = {v[row][0]};
      finish_rows<I, I::kLanes>(whole, x_sum, out + row);
    }
  }
};

// 64 columns of every row, and as many lines prefetched.
template <class I, int kRows, bool kAhead, int kLine>
QK_INLINE void stream_columns(const StreamArgs& args, const uint8_t* rows, int64_t at,
                              SumsOfRows<I, kRows>& sums) {
  QK_UNROLL(4)
  for (int row = 0; row < kRows; ++row) {
    prefetch_line<kAhead>(rows + kRows * at + row * kStreamLine, args.ahead);
  }
  sums.template add<kLine * kLineVectors<I>>(rows + at, args.depth, args.x + at);
}

template <class I, int kRows, bool kAhead>
QK_INLINE void stream_rows(const StreamArgs& args) {
  constexpr int kLines = SumsOfRows<I, kRows>::kLines;
  const int64_t lines = args.depth / kStreamLine * kStreamLine;
  const int64_t steps = args.depth / (kLines * kStreamLine) * (kLines * kStreamLine);
  for (int64_t group = 0; group < args.groups; ++group) {
    const uint8_t* rows = args.weights + group * kRows * args.depth;
    SumsOfRows<I, kRows> sums{};
    int64_t at = 0;
    for (; at < steps; at += kLines * kStreamLine) {
      stream_columns<I, kRows, kAhead, 0>(args, rows, at, sums);
      if constexpr (kLines > 1) {
        stream_columns<I, kRows, kAhead, 1>(args, rows, at + kStreamLine, sums);
      }
      if constexpr (kLines > 2) {
        stream_columns<I, kRows, kAhead, 2>(args, rows, at + 2 * kStreamLine, sums);
        stream_columns<I, kRows, kAhead, 3>(args, rows, at + 3 * kStreamLine, sums);
      }
    }
    for (; at < lines; at += kStreamLine) {
      stream_columns<I, kRows, kAhead, 0>(args, rows, at, sums);
    }
    if (at < args.depth) {  // completed on the stack, so that nothing past the rows is read
      uint8_t last[kRows][kStreamLine] = {};
      for (int row = 0; row < kRows; ++row) {
        __builtin_memcpy(last[row], rows + row * args.depth + at,
                         static_cast<size_t>(args.depth - at));
      }
      sums.template add<0>(last[0], kStreamLine, args.x + at);
    }
    sums.finish(args.x_sum, args.out + group * kRows);
  }
}

// A line of dotprod4i or dotprod16i: words of kRows rows in turn, which all meet the same bytes of
// x.
template <class I, int kRows>
QK_INLINE void add_line(const uint8_t* line, const int8_t* x,
                        typename I::ByteSums (&sums)[kLineVectors<I>]) {
  const auto multiplier = I::template multiplier<kStreamLine / kRows>(x);
  QK_UNROLL(4)
  for (int i = 0; i < kLineVectors<I>; ++i) {
    sums[i] = I::dot_bytes(sums[i], line + i * kVectorBytes<I>, multiplier);
  }
}

// dotprod4i and dotprod16i.
template <class I, int kRows, bool kAhead>
QK_INLINE void stream_lines(const StreamArgs& args) {
  constexpr int kColumns = kStreamLine / kRows;
  constexpr int kLines = kLinesAtOnce<I>;
  const int64_t lines = args.depth / kColumns;
  const int64_t steps = lines / kLines * kLines;
  const uint8_t* at = args.weights;
  for (int64_t group = 0; group < args.groups; ++group) {
    typename I::ByteSums sums[kLines][kLineVectors<I>] = {};
    const int8_t* x = args.x;
    for (int64_t line = 0; line < steps; line += kLines) {
      QK_UNROLL(4)
      for (auto& line_sums : sums) {
        prefetch_line<kAhead>(at, args.ahead);
        add_line<I, kRows>(at, x, line_sums);
        at += kStreamLine;
        x += kColumns;
      }
    }
    for (int64_t line = steps; line < lines; ++line, at += kStreamLine, x += kColumns) {
      prefetch_line<kAhead>(at, args.ahead);
      add_line<I, kRows>(at, x, sums[0]);
    }
    for (int line = 1; line < kLines; ++line) {
      for (int i = 0; i < kLineVectors<I>; ++i) {
        sums[0][i] = I::add_sums(sums[0][i], sums[line][i]);
      }
    }
    finish_rows<I, kStreamLine / 4 / kRows>(sums[0], args.x_sum, args.out + group * kRows);
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

}  // namespace
}  // namespace qk::QK_ISA
