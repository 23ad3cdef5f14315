// Native rows multiplied by way of panels, for batches large enough to pay for the packing.
#pragma once

#include "core/views.h"
#include "kernels/table.h"

namespace qk {

// From so many batch rows on, packing a panel takes less time than its product then gains.
inline constexpr int64_t kPackedBatch = 16;

class PackedRows {
 public:
  PackedRows(const WeightView& weights, const LinearKernel& kernel);

  // Panels [begin, end) of what `args` describes in native rows, packed some at a time into scratch
  // that stays in cache. False where there is no memory for one panel, with nothing written.
  bool operator()(const LinearArgs& args, int64_t begin, int64_t end) const;

 private:
  void run(const LinearArgs& args, int64_t first_row, int64_t panel_count, uint8_t* panels) const;

  const WeightView* weights_ = nullptr;
  const LinearKernel* kernel_ = nullptr;
  int64_t panel_bytes_ = 0;
  bool is_possible_ = false;
};

}  // namespace qk
