// Products of large batches by tiles (kernels/tile_kernels.h).
#pragma once

#include "core/parallel.h"
#include "core/views.h"
#include "kernels/table.h"
#include "ops/activations.h"

namespace qk {

// What `args` says, or false, with nothing written, where `kernels` have no tiles for such
// activations, or there is no memory for those of the batch. Rows for which a thread then has no
// memory of its own go through `kernel`, which is the one for `weights`.
bool linear_by_tiles(const Parallel& parallel, const KernelTable& kernels,
                     const WeightView& weights, const ActivationsView& x, const LinearArgs& args,
                     const LinearKernel& kernel);

}  // namespace qk
