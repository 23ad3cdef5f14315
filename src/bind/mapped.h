// Weights and arrays that lie in a mapped file, which may be cut while they are read.
#pragma once

#include <optional>

#include "bind/array.h"
#include "bind/errors.h"
#include "bind/weights.h"
#include "core/mapped_ranges.h"
#include "core/views.h"

namespace qk::bind {

// ValueError, with the sizes, where an array lies in a map that has been cut.
Status not_cut(const ArrayView& array);

// The slow half of raise_if_cut: some map has been cut.
void check_pages(const ArrayView& array);
void check_pages(const HeldArray& held);
void check_pages(const std::optional<HeldArray>& held);
void check_pages(const Weights& weights);

// After the work: ValueError, with the sizes, where what was read has been cut off its file. A load
// and a branch where no file ever was.
template <class... Operands>
void raise_if_cut(const Operands&... operands) {
  if (!some_range_was_cut.load(std::memory_order_relaxed)) return;
  (check_pages(operands), ...);
}

}  // namespace qk::bind
