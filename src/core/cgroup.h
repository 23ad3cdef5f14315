// The CPU quota of the control groups that this process is in.
#pragma once

#include <cstdint>

namespace qk {

// The least quota of all of them, in processors: rounded down, so that threads which wait for one
// another are never stopped half-way through a period, but at least 1. 0 where there is none.
//
// Read are cgroup v2 (`cpu.max`, of /sys/fs/cgroup and of /sys/fs/cgroup/unified) and v1
// (`cpu.cfs_quota_us`, of the controller's own folder there), each for the group that
// /proc/self/cgroup names and for all that it lies in. A container may see its group under the
// host's name, at the root of what is mounted for it. `root` comes before every path, for tests.
int64_t cgroup_processors(const char* root = "");

}  // namespace qk
