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
  constexpr std::size_t small = 4096, large = std::size_t{2} << 20;
  struct Unmap {
    void operator()(std::byte* p) const { munmap(p, small); }
  };
  std::vector<std::unique_ptr<std::byte, Unmap>> neighbours;
  bool untouched = true;
  // Each page moves what comes next by one, so that all places within a large page occur.
  for (std::size_t i = 0; i < large / small + 8; ++i) {
    void* const page = mmap(nullptr, small, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    REQUIRE(page != MAP_FAILED);
    neighbours.emplace_back(static_cast<std::byte*>(page));
    *neighbours.back() = std::byte{7};
    for (const std::size_t bytes : {large + 1, large + 60 * small, 2 * large, 2 * large + 17 * small - 3}) {
      LargeVector<std::byte> memory(bytes);
      memory.front() = memory.back() = std::byte{1};
    }
    // What was unmapped too far would be mapped again, and zero, or nobody's.
    const LargeVector<std::byte> again(large);
    untouched = untouched && *neighbours.back() == std::byte{7};
  }
  for (const auto& page : neighbours) untouched = untouched && *page == std::byte{7};
  CHECK(untouched);
}
#endif

}  // namespace atrous::large_pages_test
