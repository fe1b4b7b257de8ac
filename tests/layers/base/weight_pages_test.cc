#include "layers/base/weight_pages.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <cstdint>
#include <thread>
#include <vector>

#include "tests/support/sanitizers.h"

namespace atrous::weight_pages_test {

namespace {

constexpr std::size_t large = std::size_t{2} << 20;

bool within(const std::byte* p, std::size_t bytes, const std::byte* pages, std::size_t size) {
  return p >= pages && p + bytes <= pages + size;
}

}  // namespace

TEST_CASE("packed memory is taken one behind the other from the scope's pages until they are full") {
  if (ATROUS_ADDRESS_SANITIZER) return;                                 // each layer's has its own there
  const auto pages = std::make_shared<WeightPages>(large + large / 2);  // one page of 2 MB, not two
  std::byte* const begin = pages->take(0);
  REQUIRE(begin);
  CHECK(reinterpret_cast<std::uintptr_t>(begin) % large == 0);
  const WeightPagesScope scope(pages);
  const auto first = packed_memory(100), second = packed_memory(large - 200), third = packed_memory(4096),
             fourth = packed_memory(10);
  CHECK(first.get() == begin);
  CHECK(second.get() == begin + 128);               // whole lines of 64 bytes
  CHECK(!within(third.get(), 4096, begin, large));  // no room is left for it
  CHECK(within(fourth.get(), 10, begin, large));    // but for what is smaller there is
  std::fill_n(second.get(), large - 200, std::byte{1});
  std::fill_n(third.get(), 4096, std::byte{2});
  for (const auto& memory : {first, second, third, fourth})
    CHECK(reinterpret_cast<std::uintptr_t>(memory.get()) % 64 == 0);
}

TEST_CASE("a scope ends, another thread has none, and memory outlives both") {
  if (ATROUS_ADDRESS_SANITIZER) return;
  std::shared_ptr<std::byte> kept;
  const auto pages = std::make_shared<WeightPages>(large);
  std::byte* const begin = pages->take(0);
  {
    const WeightPagesScope scope(pages);
    {
      const WeightPagesScope none(std::make_shared<WeightPages>(0));
      CHECK(!within(packed_memory(64).get(), 64, begin, large));
    }
    kept = packed_memory(64);
    CHECK(kept.get() == begin);
    std::thread([&] { CHECK(!within(packed_memory(64).get(), 64, begin, large)); }).join();
  }
  CHECK(!within(packed_memory(64).get(), 64, begin, large));
  *kept = std::byte{3};
  const std::weak_ptr<WeightPages> watched = pages;
  CHECK(watched.use_count() == 2);  // ours and the memory's
}

TEST_CASE("memory is lent at the end only where what is packed has room before it, to one at a time") {
  if (ATROUS_ADDRESS_SANITIZER) return;
  WeightPages pages(large);
  std::byte* const begin = pages.take(0);
  CHECK(!pages.lend(large / 2));  // packed weights are a little more
  std::byte* const lent = pages.lend(large / 4);
  CHECK(lent == begin + large - large / 4);
  CHECK(!pages.lend(64));
  CHECK(!pages.take(large - large / 4 + 64));
  CHECK(pages.take(large / 2) == begin);
  pages.give_back();
  CHECK(!pages.lend(large / 4));
  CHECK(pages.lend(large / 8) == begin + large - large / 8);
  pages.give_back();
  CHECK(pages.take(large / 2) == begin + large / 2);
  CHECK(!pages.take(64));
}

}  // namespace atrous::weight_pages_test
