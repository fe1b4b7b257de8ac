#include "runtime/serve/photo_request.h"

#include "doctest/doctest.h"

namespace atrous::serve {

TEST_CASE("scales are numbers with commas between them") {
  CHECK(parse_scales("1") == std::vector<double>{1});
  CHECK(parse_scales("0.5,1,1.25e0") == std::vector<double>{0.5, 1, 1.25});
  for (const char* wrong : {"", ",", "1,", ",1", "1,,2", "1;2", "one", "1 ", " 1", "0x1p1", "1,two"}) {
    CAPTURE(wrong);
    try {
      parse_scales(wrong);
      FAIL("taken");
    } catch (const Problem& problem) {
      CHECK(problem.status == 400);
      CHECK(problem.detail.starts_with("scales: expected numbers"));
    }
  }
}

}  // namespace atrous::serve
