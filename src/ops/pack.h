// Packing: native blocks to panels and back, with nothing lost.
#pragma once

#include <cstddef>
#include <cstdint>

#include "core/parallel.h"
#include "core/status.h"
#include "core/views.h"
#include "kernels/table.h"

namespace qk {

// The rows of a panel of a format on an ISA: 4, 8 or 16.
int panel_rows(const KernelTable& kernels, int format);

// The bytes of n rows of `row_bytes`, which packed_row_bytes says, in panels of `panel_rows`. Fails
// where that passes 2^63.
Status packed_bytes(int64_t n, int64_t row_bytes, int panel_rows, int64_t* out);

// Native rows of `weights`, one matrix, to panels at `out`, of packed_bytes, which did not fail;
// the rows that fill up the last panel are zeros.
void pack(const Parallel& parallel, const WeightView& weights, int panel_rows, uint8_t* out);

// The reverse: panels to n rows of row_bytes, without gaps.
void unpack(const Parallel& parallel, const WeightView& packed, int panel_rows, uint8_t* out);

// The native blocks [first_block, first_block + blocks) of one row.
void unpack_row(const WeightView& packed, int panel_rows, int64_t row, int64_t first_block,
                int64_t blocks, uint8_t* out);

}  // namespace qk
