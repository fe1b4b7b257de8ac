// Memory in large pages: what is mapped for their alignment, and given back, is its own alone.
#include "layers/base/large_pages.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <cstddef>
#include <memory>
#include <vector>

#ifdef __linux__
#include <sys/mman.h>
#endif

namespace atrous::large_pages_test {

#ifdef __linux__
TEST_CASE("memory in large pages leaves what lies beside it alone, wherever the system puts it") {
  constexpr std::size_t step = 8 * 4096, large = std::size_t{2} << 20;
  struct Unmap {
    void operator()(std::byte* p) const { munmap(p, step); }
  };
  std::vector<std::unique_ptr<std::byte, Unmap>> neighbours;
  // Each moves what comes next by a step, so that places all over a large page occur. What is unmapped too
  // far would be one of them.
  for (std::size_t i = 0; i < large / step + 2; ++i) {
    void* const memory = mmap(nullptr, step, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    REQUIRE(memory != MAP_FAILED);
    neighbours.emplace_back(static_cast<std::byte*>(memory));
    *neighbours.back() = std::byte{7};
    for (const std::size_t bytes : {large + 1, large + 17 * 4096 - 3}) {
      LargeVector<std::byte> between(bytes);
      between.front() = between.back() = std::byte{1};
    }
  }
  bool untouched = true;
  for (const auto& memory : neighbours) untouched = untouched && *memory == std::byte{7};
  CHECK(untouched);
}
#endif

}  // namespace atrous::large_pages_test
