#include "ops/packed_rows.h"

#include "core/aligned.h"
#include "formats/registry.h"
#include "ops/pack.h"

namespace qk {
namespace {

constexpr int64_t kScratchBytes = 64 << 10;  // what malloc keeps, where it would map more anew

}  // namespace

PackedRows::PackedRows(const WeightView& weights, const LinearKernel& kernel)
    : weights_(&weights), kernel_(&kernel) {
  int64_t row_bytes = 0;
  is_possible_ = packed_row_bytes(weights.format, weights.k, &row_bytes).ok() &&
                 packed_bytes(kernel.panel_rows, row_bytes, kernel.panel_rows, &panel_bytes_).ok();
}

bool PackedRows::operator()(const LinearArgs& args, int64_t begin, int64_t end) const {
  if (!is_possible_) return false;
  const int64_t fitting = kScratchBytes / panel_bytes_;
  const int64_t wanted = fitting < 1 ? 1 : fitting;
  const int64_t at_once = wanted < end - begin ? wanted : end - begin;
  AlignedBuffer scratch;
  if (!scratch.reserve(at_once * panel_bytes_).ok()) return false;
  auto* panels = reinterpret_cast<uint8_t*>(scratch.data());
  for (int64_t first = begin; first < end; first += at_once) {
    const int64_t count = end - first < at_once ? end - first : at_once;
    run(args, first * kernel_->panel_rows, count, panels);
  }
  return true;
}

void PackedRows::run(const LinearArgs& args, int64_t first_row, int64_t panel_count,
                     uint8_t* panels) const {
  const int64_t left = weights_->n - first_row;
  const int64_t most = panel_count * kernel_->panel_rows;
  WeightView slice = *weights_;
  slice.data += first_row * weights_->row_stride;
  slice.n = left < most ? left : most;
  pack(alone(), slice, kernel_->panel_rows, panels);
  LinearArgs panel_args = args;
  panel_args.weights = panels;
  panel_args.row_stride = panel_bytes_;
  panel_args.n = slice.n;
  panel_args.out += first_row;
  if (args.bias != nullptr) panel_args.bias += first_row;
  kernel_->run(panel_args, 0, panel_count);
}

}  // namespace qk
