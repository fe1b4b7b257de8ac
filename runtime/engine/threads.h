// How many threads this process may use.
#pragma once

namespace atrous {

// The processors of the affinity mask, and no more than the cgroup's CPU quota (v2 cpu.max, v1 cfs_quota_us)
// rounded up; at least 1.
int available_threads();

// `asked` if positive, available_threads() if 0; Error(invalid_argument) if negative or over 1024.
int resolve_threads(int asked);

}  // namespace atrous
