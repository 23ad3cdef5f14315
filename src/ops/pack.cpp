#include "ops/pack.h"

#include <cstdlib>
#include <cstring>
#include <type_traits>

#include "core/checked.h"
#include "formats/registry.h"
#include "ops/transpose.h"

namespace qk {
namespace {

// Bit 4 i + j of a word to bit 8 j + i: every fourth bit to a byte of its own.
uint32_t spread_bits(uint32_t word) {
  uint32_t spread = 0;
  for (int j = 0; j < 4; ++j) {
    uint32_t bits = word >> j & 0x11111111u;
    bits = (bits | bits >> 3) & 0x03030303u;
    bits = (bits | bits >> 6) & 0x000f000fu;
    bits = (bits | bits >> 12) & 0xffu;
    spread |= bits << (8 * j);
  }
  return spread;
}

uint32_t gather_bits(uint32_t spread) {
  uint32_t word = 0;
  for (int j = 0; j < 4; ++j) {
    uint32_t bits = spread >> (8 * j) & 0xffu;
    bits = (bits | bits << 12) & 0x000f000fu;
    bits = (bits | bits << 6) & 0x03030303u;
    bits = (bits | bits << 3) & 0x11111111u;
    word |= bits << j;
  }
  return word;
}

// The bytes of a row that are moved at once, at most: a block, or a unit of float weights.
constexpr int kMostBytes = 4 * kUnit;

// `count` elements of kRows rows, from byte `at` of each on, to their runs in a panel.
template <class T, int kRows>
void pack_run(const uint8_t* const (&rows)[kRows], int64_t at, int64_t count, uint8_t* panel) {
  constexpr int64_t kBytes = sizeof(T);
  constexpr int64_t kAtOnce = kTurnedBytes / kBytes;
  int64_t turned = 0;
  for (; turned + kAtOnce <= count; turned += kAtOnce) {
    turn_rows<T>(rows, at + turned * kBytes, panel + turned * kBytes * kRows);
  }
  for (int64_t i = turned; i < count; ++i) {
    for (int r = 0; r < kRows; ++r) {
      std::memcpy(panel + (i * kRows + r) * kBytes, rows[r] + at + i * kBytes, kBytes);
    }
  }
}

template <class T, int kRows>
void unpack_run(const uint8_t* panel, int64_t count, uint8_t* const (&rows)[kRows], int64_t at) {
  constexpr int64_t kBytes = sizeof(T);
  constexpr int64_t kAtOnce = kTurnedBytes / kBytes;
  int64_t turned = 0;
  for (; turned + kAtOnce <= count; turned += kAtOnce) {
    turn_back<T>(panel + turned * kBytes * kRows, rows, at + turned * kBytes);
  }
  for (int64_t i = turned; i < count; ++i) {
    for (int r = 0; r < kRows; ++r) {
      std::memcpy(rows[r] + at + i * kBytes, panel + (i * kRows + r) * kBytes, kBytes);
    }
  }
}

// Changes the words of a panel from the file's order of bits to that of PanelElements::kBits, or
// back.
template <class Change>
void change_words(uint8_t* at, int64_t count, Change change) {
  for (int64_t i = 0; i < count; ++i) {
    uint32_t word;
    std::memcpy(&word, at + 4 * i, 4);
    word = change(word);
    std::memcpy(at + 4 * i, &word, 4);
  }
}

// Calls run(zero, at, count, kind) for each kind of elements in `blocks` blocks: `zero` is of their
// type, `at` the byte of a row where they start. More than one block is taken only where its
// elements are all alike.
template <class Run>
void for_elements(const PanelElements* elements, int64_t blocks, Run run) {
  int64_t at = 0;
  for (int e = 0; e < kMostPanelElements && elements[e].count != 0; ++e) {
    const int64_t count = elements[e].count * blocks;
    if (elements[e].bytes == 4) run(uint32_t{}, at, count, elements[e].kind);
    if (elements[e].bytes == 2) run(uint16_t{}, at, count, elements[e].kind);
    if (elements[e].bytes == 1) run(uint8_t{}, at, count, elements[e].kind);
    at += elements[e].bytes * count;
  }
}

template <int kRows>
void pack_blocks(const PanelElements* elements, int64_t blocks, const uint8_t* const (&rows)[kRows],
                 uint8_t* panel) {
  const auto run = [&](auto zero, int64_t at, int64_t count, PanelElements::Kind kind) {
    pack_run<decltype(zero)>(rows, at, count, panel + at * kRows);
    if (kind == PanelElements::kBits) change_words(panel + at * kRows, count * kRows, spread_bits);
  };
  for_elements(elements, blocks, run);
}

template <int kRows>
void unpack_blocks(const PanelElements* elements, int64_t blocks, const uint8_t* panel,
                   uint8_t* const (&rows)[kRows]) {
  const auto run = [&](auto zero, int64_t at, int64_t count, PanelElements::Kind kind) {
    unpack_run<decltype(zero)>(panel + at * kRows, count, rows, at);
    if (kind != PanelElements::kBits) return;
    for (uint8_t* row : rows) change_words(row + at, count, gather_bits);
  };
  for_elements(elements, blocks, run);
}

// The blocks of one row of a panel alone.
void unpack_blocks_of(const PanelElements* elements, int64_t blocks, const uint8_t* panel,
                      int panel_rows, int64_t row, uint8_t* out) {
  const auto run = [&](auto zero, int64_t at, int64_t count, PanelElements::Kind kind) {
    constexpr int64_t kBytes = sizeof(zero);
    const uint8_t* first = panel + at * panel_rows + row * kBytes;
    for (int64_t i = 0; i < count; ++i) {
      std::memcpy(out + at + i * kBytes, first + i * panel_rows * kBytes, kBytes);
    }
    if (kind == PanelElements::kBits) change_words(out + at, count, gather_bits);
  };
  for_elements(elements, blocks, run);
}

// The blocks that are moved at once.
int64_t blocks_at_once(const Format& format) { return format.is_float ? kUnit : 1; }

template <int kRows>
void pack_panel(const Format& format, const WeightView& weights, int64_t first, uint8_t* panel) {
  static constexpr uint8_t kZeros[kMostBytes] = {};
  uint8_t recoded[kRows][kMostRecodedBytes];
  const uint8_t* rows[kRows];
  const int64_t blocks = ceil_div(weights.k, format.info.block);
  const int64_t at_once = blocks_at_once(format);
  for (int64_t b = 0; b < blocks; b += at_once) {
    for (int r = 0; r < kRows; ++r) {
      rows[r] = kZeros;
      if (first + r >= weights.n) continue;
      rows[r] = weights.data + (first + r) * weights.row_stride + b * format.info.bytes;
      if (format.recode != nullptr) {
        format.recode(rows[r], recoded[r]);
        rows[r] = recoded[r];
      }
    }
    const int64_t count = blocks - b < at_once ? blocks - b : at_once;
    pack_blocks(format.panel, count, rows, panel + b * kRows * format.panel_bytes);
  }
}

template <int kRows>
void unpack_panel(const Format& format, const WeightView& packed, int64_t first, uint8_t* out,
                  int64_t row_bytes) {
  uint8_t fill[kMostBytes];  // what rows past the last become
  uint8_t recoded[kRows][kMostRecodedBytes];
  uint8_t* rows[kRows];
  const uint8_t* panel = packed.data + first * packed.row_stride;
  const int64_t blocks = ceil_div(packed.k, format.info.block);
  const int64_t at_once = blocks_at_once(format);
  for (int64_t b = 0; b < blocks; b += at_once) {
    const int64_t at = b * format.info.bytes;
    for (int r = 0; r < kRows; ++r) {
      rows[r] = first + r < packed.n ? out + (first + r) * row_bytes + at : fill;
      if (format.restore != nullptr) rows[r] = recoded[r];
    }
    const int64_t count = blocks - b < at_once ? blocks - b : at_once;
    unpack_blocks(format.panel, count, panel + b * kRows * format.panel_bytes, rows);
    if (format.restore == nullptr) continue;
    for (int r = 0; r < kRows && first + r < packed.n; ++r) {
      format.restore(recoded[r], out + (first + r) * row_bytes + at);
    }
  }
}

// Calls body with the rows of a panel as a constant.
template <class Body>
void with_rows(int rows, Body body) {
  switch (rows) {
    case 4: return body(std::integral_constant<int, 4>{});
    case 8: return body(std::integral_constant<int, 8>{});
    case 16: return body(std::integral_constant<int, 16>{});
    default: std::abort();  // an ISA of other panels needs a line here
  }
}

}  // namespace

int panel_rows(const KernelTable& kernels, int format) {
  return kernels.formats->kernels[format]
      ->linear[static_cast<int>(Layout::kPanels)][0][0]
      .panel_rows;
}

Status packed_bytes(int64_t n, int64_t row_bytes, int panel_rows, int64_t* out) {
  int64_t rows;
  if (!checked_round_up(n, panel_rows, &rows) || !checked_mul(rows, row_bytes, out)) {
    return Status::value_error("%lld rows of %lld bytes pass 2^63 bytes when packed",
                               static_cast<long long>(n), static_cast<long long>(row_bytes));
  }
  return {};
}

void pack(const Parallel& parallel, const WeightView& weights, int panel_rows, uint8_t* out) {
  const Format& format = format_at(weights.format);
  const int64_t row = ceil_div(weights.k, format.info.block) * format.panel_bytes;
  with_rows(panel_rows, [&](auto rows) {
    auto panels = [&](int64_t begin, int64_t end) {
      for (int64_t first = begin * rows; first < end * rows; first += rows) {
        pack_panel<rows>(format, weights, first, out + first * row);
      }
    };
    parallel(ceil_div(weights.n, rows), 1, panels);
  });
}

void unpack(const Parallel& parallel, const WeightView& packed, int panel_rows, uint8_t* out) {
  const Format& format = format_at(packed.format);
  const int64_t row = ceil_div(packed.k, format.info.block) * format.info.bytes;
  with_rows(panel_rows, [&](auto rows) {
    auto panels = [&](int64_t begin, int64_t end) {
      for (int64_t first = begin * rows; first < end * rows; first += rows) {
        unpack_panel<rows>(format, packed, first, out, row);
      }
    };
    parallel(ceil_div(packed.n, rows), 1, panels);
  });
}

void unpack_row(const WeightView& packed, int panel_rows, int64_t row, int64_t first_block,
                int64_t blocks, uint8_t* out) {
  const Format& format = format_at(packed.format);
  const int64_t place = row % panel_rows;
  const uint8_t* panel = packed.data + (row - place) * packed.row_stride;
  uint8_t recoded[kMostRecodedBytes];
  const int64_t at_once = blocks_at_once(format);
  for (int64_t b = 0; b < blocks; b += at_once) {
    uint8_t* block = out + b * format.info.bytes;
    const int64_t count = blocks - b < at_once ? blocks - b : at_once;
    unpack_blocks_of(format.panel, count,
                     panel + (first_block + b) * panel_rows * format.panel_bytes, panel_rows, place,
                     format.restore != nullptr ? recoded : block);
    if (format.restore != nullptr) format.restore(recoded, block);
  }
}

}  // namespace qk
