#include "layers/networks/preparation.h"

#include <doctest/doctest.h>

#include "tests/support/layers_testing.h"

namespace atrous::preparation_test {

TEST_CASE("a size is padded to the next multiple, to the next one and a rest, and to the least") {
  const Padding by_32{.multiple = 32}, by_8_and_1{.multiple = 8, .beyond = 1},
      least_128{.multiple = 16, .least = 128};
  CHECK(padded_size({}, 1) == 1);
  CHECK(padded_size({}, 517) == 517);
  CHECK(padded_size(by_32, 1) == 32);
  CHECK(padded_size(by_32, 64) == 64);
  CHECK(padded_size(by_32, 65) == 96);
  CHECK(padded_size(by_8_and_1, 1) == 1);
  CHECK(padded_size(by_8_and_1, 2) == 9);
  CHECK(padded_size(by_8_and_1, 473) == 473);
  CHECK(padded_size(by_8_and_1, 474) == 481);
  CHECK(padded_size(least_128, 17) == 128);
  CHECK(padded_size(least_128, 129) == 144);
  constexpr std::int64_t largest = std::numeric_limits<std::int64_t>::max();
  error_of(ErrorCode::limit, [&] { padded_size(by_32, largest - 1); });
}

// A map of w cells stands for the padded input: the pixel at input column x lies at (x + 1/2) * w / padded -
// 1/2 of it, or with aligned corners at x * (w - 1) / (padded - 1). Labels at another size than the input's
// lie as a resized input would: (x + 1/2) * seen / size - 1/2, or x * (seen - 1) / (size - 1).
TEST_CASE("a growth puts labels of any size on what the network saw") {
  constexpr std::int64_t cells = 9, seen = 60, padded = 72;
  for (const std::int64_t size : {60, 120, 45})
    for (const bool align : {false, true}) {
      CAPTURE(size);
      CAPTURE(align);
      const Growth growth = growth_of({.align_corners = align}, {1, 1, seen, 3}, {1, 1, padded, 3}, 1, size);
      const double whole = growth.out_w;
      for (const std::int64_t x : {std::int64_t{0}, std::int64_t{7}, size - 1}) {
        const auto at = static_cast<double>(x);
        const double input = align ? at * (seen - 1) / static_cast<double>(size - 1)
                                   : (at + 0.5) * seen / static_cast<double>(size) - 0.5;
        const double expected =
            align ? input * (cells - 1) / (padded - 1) : (input + 0.5) * cells / padded - 0.5;
        const double found = align ? at * (cells - 1) / (whole - 1) : (at + 0.5) * cells / whole - 0.5;
        CHECK(found == doctest::Approx(expected).epsilon(1e-12));
      }
    }
}

}  // namespace atrous::preparation_test
