// The guard against values that overflowed, on every instruction set.
#include "layers/cpu/maps/finite.h"

#include <doctest/doctest.h>

#include <limits>

#include "tests/support/layers_testing.h"

namespace atrous::finite_test {

TEST_CASE("all_finite finds one value that is infinite or a NaN, wherever it stands, and nothing beside it") {
  constexpr float infinity = std::numeric_limits<float>::infinity();
  for (const Isa isa : supported_isas())
    for (const Shape& shape : {Shape{1, 1, 1, 1}, Shape{1, 3, 7, 1}, Shape{2, 5, 3, 21}, Shape{1, 1, 9, 150}})
      for (const std::int64_t beside : {0, 3}) {  // strangers beside a slice are NaNs
        CAPTURE(name_of(isa));
        CAPTURE(str_cat(shape, ", ", beside));
        Random random(7);
        Slice values(shape, beside, beside);
        fill(values.view(), random, Draw::floats);
        CHECK(all_finite(isa, values.view()));
        const View v = values.view();
        const std::int64_t count = shape.pixels() * shape.c;
        for (std::int64_t i = 0; i < count; ++i) {
          float& value = v.data[i / shape.c * v.pitch + i % shape.c];
          const float before = value;
          for (const float bad : {infinity, -infinity, not_a_number}) {
            value = bad;
            if (all_finite(isa, v)) FAIL_CHECK("value ", i, " is ", bad, " and was not found");
          }
          for (const float good : {std::numeric_limits<float>::max(), std::numeric_limits<float>::lowest(),
                                   std::numeric_limits<float>::denorm_min()}) {
            value = good;
            if (!all_finite(isa, v)) FAIL_CHECK("value ", i, " is ", good, " and was refused");
          }
          value = before;
        }
      }
}

}  // namespace atrous::finite_test
