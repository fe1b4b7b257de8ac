// What the control groups that a process is in grant it: of Linux's hierarchies, v2 and v1, as systemd,
// containers and batch systems set them.
#pragma once

#include <cstdint>
#include <limits>
#include <string>

namespace atrous {

struct CgroupLimits {
  double processors = std::numeric_limits<double>::infinity();       // time on so many at once
  std::uint64_t memory = std::numeric_limits<std::uint64_t>::max();  // bytes
};

// The least of the process's own groups and all their parents: cpu.max and memory.max, or cpu.cfs_quota_us by
// cpu.cfs_period_us and memory.limit_in_bytes. What cannot be read limits nothing. `root` lies before the
// paths that are read (/proc/self/cgroup, /proc/self/mountinfo, the mount points in it): "", or a test's
// folder.
CgroupLimits cgroup_limits(const std::string& root = "");

}  // namespace atrous
