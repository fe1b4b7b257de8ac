#include "runtime/engine/threads.h"

#include <sched.h>

#include <algorithm>
#include <cmath>
#include <fstream>
#include <string>
#include <thread>

#include "layers/base/error.h"

namespace atrous {

namespace {

constexpr int most_threads = 1024;

int affinity() {
  cpu_set_t set;
  CPU_ZERO(&set);
  if (sched_getaffinity(0, sizeof set, &set) == 0) return CPU_COUNT(&set);
  return static_cast<int>(std::thread::hardware_concurrency());  // more processors than a cpu_set_t holds
}

// Processors' worth of quota, or a large number where there is none ("max", -1, no such file).
int quota() {
  double granted = -1, period = 0;
  if (std::ifstream v2("/sys/fs/cgroup/cpu.max"); v2 >> granted >> period) {
  } else if (std::ifstream q("/sys/fs/cgroup/cpu/cpu.cfs_quota_us"),
             p("/sys/fs/cgroup/cpu/cpu.cfs_period_us");
             !(q >> granted && p >> period)) {
    granted = -1;
  }
  if (granted <= 0 || period <= 0) return most_threads;
  return static_cast<int>(std::clamp(std::ceil(granted / period), 1.0, double{most_threads}));
}

}  // namespace

int available_threads() { return std::clamp(std::min(affinity(), quota()), 1, most_threads); }

int resolve_threads(int asked) {
  if (asked < 0 || asked > most_threads)
    fail(ErrorCode::invalid_argument, "threads: expected 0 (all) to ", most_threads, ", found ", asked);
  return asked == 0 ? available_threads() : asked;
}

}  // namespace atrous
