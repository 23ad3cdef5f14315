// Which ISA's kernels run: the best that this CPU has, or the one that was asked for.
#pragma once

#include "core/status.h"
#include "kernels/table.h"

namespace qk {

// The ISAs this build holds, worst first.
int isa_count();
const KernelTable& isa_at(int index);

// Whether this CPU has everything that the table needs.
bool cpu_runs(const KernelTable& table);

// The kernels in use. At first use, those named by the environment variable QKERNELS_ISA, or else
// the last of the list that the CPU runs and that is not for tests only.
const KernelTable& current_kernels();

// What QKERNELS_ISA asks for is checked once, when the library is loaded.
Status init_dispatch();

// Makes `name` the kernels in use from the next call on. ValueError for an ISA that is not in this
// build, or one whose features the CPU lacks (they are named).
Status force_isa(const char* name);

}  // namespace qk
