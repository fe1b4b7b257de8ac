// What a kernel makes of a drawn convolution, compared with the reference's.
#pragma once

#include <doctest/doctest.h>

#include <string>

#include "layers/cpu/isa.h"
#include "tests/support/conv2d_testing.h"

namespace atrous {

struct Comparison {
  std::int64_t before = 0, after = 0;  // strange channels beside the output's
  int threads = 1;
  double tolerance = 0;
};

// Checks `make(layer, isa)` on every instruction set; returns whether all was well.
template <class Make>
bool equals_reference(const DrawnConv2d& s, const std::string& problem, Make make, const Comparison& how) {
  const Tensor expected = by_reference(s);
  bool good = true;
  for (Isa isa : supported_isas()) {
    INFO(problem);
    CAPTURE(name_of(isa));
    Slice out(s.out, how.before, how.after);
    run_hostile(*make(s.layer, isa), s.inputs, out.view(), how.threads);
    const std::string wrong = difference(out.view(), expected.view(), how.tolerance);
    CHECK(wrong == "");
    CHECK(out.strangers_untouched());
    good = good && wrong.empty();
  }
  return good;
}

}  // namespace atrous
