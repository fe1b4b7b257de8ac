// Whatever the tests of this program did: when it ends, nothing may be left on the simulated device, and
// nothing may have been written beside an allocation. Otherwise the program fails.
#include <cstdio>
#include <cstdlib>

#include "tests/cuda/simulation/simulation.h"

namespace {

void look() {
  const simulated::Allocations left = simulated::allocations();
  for (const std::string& misuse : left.misuses)
    std::fprintf(stderr, "simulated device: %s\n", misuse.c_str());
  const bool clean = left.count + left.host_count + left.streams + left.events + left.graphs == 0;
  if (!clean)
    std::fprintf(
        stderr,
        "simulated device: left behind: %zu blocks of memory, %zu page-locked, %zu streams, %zu events, "
        "%zu graphs\n",
        left.count, left.host_count, left.streams, left.events, left.graphs);
  if (!clean || !left.misuses.empty()) std::_Exit(1);
}

[[maybe_unused]] const int registered = std::atexit(look);

}  // namespace
