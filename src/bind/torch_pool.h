// torch's own threads, for what is called with its tensors: they are awake while a model runs, and
// torch.set_num_threads() says how many they are.
#pragma once

#include "core/parallel.h"

namespace qk::bind {

// How many threads torch uses; 0 where it is not loaded, is older than 2.10, which does not lend
// them, or this process was forked: the runtime below them may wait for ever in a child.
int torch_threads();

// Those as a Parallel of `threads` threads. Where torch_threads() is not 0.
Parallel torch_parallel(int threads);

}  // namespace qk::bind
