#include "ops/pack.h"

#include <cstring>

#include "core/checked.h"
#include "formats/registry.h"

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

// Copies `count` elements of kBytes, `from_step` and `to_step` bytes apart.
template <int kBytes>
void copy_elements(const uint8_t* from, int64_t from_step, uint8_t* to, int64_t to_step,
                   int64_t count) {
  for (int64_t i = 0; i < count; ++i) std::memcpy(to + i * to_step, from + i * from_step, kBytes);
}

// One run of elements between the file's layout and a panel's, in either direction.
template <bool kPacks>
void move_elements(const PanelElements& elements, int64_t count, uint8_t* native, uint8_t* lane,
                   int rows) {
  if (elements.kind == PanelElements::kBits) {
    uint32_t word;
    std::memcpy(&word, kPacks ? native : lane, 4);
    word = kPacks ? spread_bits(word) : gather_bits(word);
    std::memcpy(kPacks ? lane : native, &word, 4);
    return;
  }
  const int bytes = elements.bytes;
  const int64_t step = static_cast<int64_t>(rows) * bytes;
  const uint8_t* from = kPacks ? native : lane;
  uint8_t* to = kPacks ? lane : native;
  const int64_t from_step = kPacks ? bytes : step;
  const int64_t to_step = kPacks ? step : bytes;
  if (bytes == 4) copy_elements<4>(from, from_step, to, to_step, count);
  if (bytes == 2) copy_elements<2>(from, from_step, to, to_step, count);
  if (bytes == 1) copy_elements<1>(from, from_step, to, to_step, count);
}

// `blocks` blocks of one row; more than one only where their elements are all alike.
template <bool kPacks>
void move_blocks(const PanelElements* elements, int64_t blocks, uint8_t* native, uint8_t* panel,
                 int rows, int row) {
  for (int e = 0; e < kMostPanelElements && elements[e].count != 0; ++e) {
    const int64_t count = elements[e].count * blocks;
    const int64_t bytes = elements[e].bytes;
    move_elements<kPacks>(elements[e], count, native, panel + row * bytes, rows);
    native += bytes * count;
    panel += bytes * count * rows;
  }
}

template <bool kPacks>
void move_panel(const Format& format, const WeightView& view, uint8_t* native, uint8_t* panel,
                int panel_rows, int64_t index) {
  const int64_t first = index * panel_rows;
  const int64_t rows = view.n - first < panel_rows ? view.n - first : panel_rows;
  const int64_t blocks = ceil_div(view.k, format.info.block);
  const int64_t panel_bytes = static_cast<int64_t>(panel_rows) * format.info.bytes;
  const int64_t at_once = format.is_float ? blocks : 1;
  for (int64_t b = 0; b < blocks; b += at_once) {
    for (int64_t r = 0; r < rows; ++r) {
      uint8_t* block = native + (first + r) * view.row_stride + b * format.info.bytes;
      move_blocks<kPacks>(format.panel, at_once, block, panel + b * panel_bytes, panel_rows,
                          static_cast<int>(r));
    }
  }
}

}  // namespace

int panel_rows(const KernelTable& kernels, int format) {
  return kernels.linear[static_cast<int>(Layout::kPanels)][format][0][0].panel_rows;
}

Status packed_bytes(int64_t n, int64_t row_bytes, int panel_rows, int64_t* out) {
  int64_t rows;
  if (!checked_round_up(n, panel_rows, &rows) || !checked_mul(rows, row_bytes, out)) {
    return Status::value_error("%lld rows of %lld bytes pass 2^63 bytes when packed",
                               static_cast<long long>(n), static_cast<long long>(row_bytes));
  }
  return {};
}

Status pack(const Parallel& parallel, const WeightView& weights, int panel_rows, uint8_t* out) {
  const Format& format = format_at(weights.format);
  int64_t row = 0;
  QK_TRY(row_bytes(weights.format, weights.k, &row));
  auto panels = [&](int64_t begin, int64_t end) {
    for (int64_t p = begin; p < end; ++p) {
      uint8_t* panel = out + p * panel_rows * row;
      if ((p + 1) * panel_rows > weights.n)
        std::memset(panel, 0, static_cast<size_t>(panel_rows * row));
      move_panel<true>(format, weights, const_cast<uint8_t*>(weights.data), panel, panel_rows, p);
    }
  };
  parallel(ceil_div(weights.n, panel_rows), 1, panels);
  return {};
}

Status unpack(const Parallel& parallel, const WeightView& packed, int panel_rows, uint8_t* out) {
  const Format& format = format_at(packed.format);
  auto panels = [&](int64_t begin, int64_t end) {
    for (int64_t p = begin; p < end; ++p) {
      auto* panel = const_cast<uint8_t*>(packed.data) + p * panel_rows * packed.row_stride;
      move_panel<false>(format, packed, out, panel, panel_rows, p);
    }
  };
  parallel(ceil_div(packed.n, panel_rows), 1, panels);
  return {};
}

}  // namespace qk
