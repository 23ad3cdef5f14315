// How many threads a call uses that does not say.
#pragma once

#include "core/status.h"

namespace qk {

// What set_default_threads() was last given; else what the environment says: QKERNELS_THREADS, or
// the first number of OMP_NUM_THREADS (where it is one, as in OpenMP); else the processors that the
// calling thread may use: its affinity mask, cut to its control groups' quota. That follows both as
// they change, in a forked child too: the mask within kMaskAge, the quota within kQuotaAge.
int default_threads();

// The same, of the mask and the quota as they are now.
int default_threads_now();

// The number that somebody has chosen for this library: what set_default_threads() was last given,
// or QKERNELS_THREADS; 0 where nobody has.
int chosen_threads();

// The processors that the calling thread may use, now; at least 1.
int usable_processors();

// 1 to kMaxThreads.
void set_default_threads(int threads);

// The same from somebody who limits threads for a while and then sets what he found: the number that
// there would be if nobody had chosen takes a choice back, so that the default is not frozen by it.
void limit_default_threads(int threads);

// ValueError where QKERNELS_THREADS is set to what is no number of threads.
Status check_threads_variable();

}  // namespace qk
