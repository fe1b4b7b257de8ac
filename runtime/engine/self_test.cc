#include "runtime/engine/self_test.h"

#include <algorithm>
#include <cmath>

#include "layers/base/error.h"

namespace atrous {

namespace {

// Element i of the view in NCHW order.
float nchw(ConstView v, std::int64_t i) {
  const std::int64_t x = i % v.shape.w, y = i / v.shape.w % v.shape.h,
                     c = i / v.shape.w / v.shape.h % v.shape.c;
  return v.at(i / v.shape.w / v.shape.h / v.shape.c, y, x, c);
}

}  // namespace

Tensor self_test_input(int height, int width) try {
  Tensor input({1, height, width, 3});
  for (std::int64_t y = 0; y < height; ++y)
    for (std::int64_t x = 0; x < width; ++x)
      for (std::int64_t c = 0; c < 3; ++c)
        input.view().at(0, y, x, c) =
            static_cast<float>((31 * y + 17 * x + 101 * c + 7 * (x * y % 13)) % 256) / 64.f - 2.f;
  return input;
} catch (...) {
  rethrow_as_error();
}

SelfTest make_self_test(Session& session, int height, int width, int count) try {
  session.run(self_test_input(height, width).view());
  session.check_finite(0);
  const ConstView logits = session.output();
  const std::int64_t elements = logits.shape.pixels() * logits.shape.c;
  SelfTest test{.height = height, .width = width, .logits = {}};
  for (std::int64_t i = 0; i < elements; ++i)
    test.largest = std::max(test.largest, std::abs(nchw(logits, i)));
  for (std::int64_t k = 0; k < std::min<std::int64_t>(count, elements); ++k) {
    const std::int64_t index = k * elements / std::min<std::int64_t>(count, elements);
    test.logits.push_back({index, nchw(logits, index)});
  }
  return test;
} catch (...) {
  rethrow_as_error();
}

double run_self_test(Session& session, const SelfTest& test) try {
  session.run(self_test_input(test.height, test.width).view());
  session.check_finite(0);
  const ConstView logits = session.output();
  const std::int64_t elements = logits.shape.pixels() * logits.shape.c;
  double worst = 0;
  for (const auto& [index, value] : test.logits) {
    if (index < 0 || index >= elements)
      fail(ErrorCode::mismatch, "self-test: logit ", index, " is asked for, the network gives ", elements);
    const double deviation = std::abs(nchw(logits, index) - value);
    if (!(deviation <= worst)) worst = deviation;  // a NaN is the worst of all, and stays
    if (std::isnan(worst)) return worst;
  }
  return test.largest > 0 ? worst / static_cast<double>(test.largest) : worst;
} catch (...) {
  rethrow_as_error();
}

}  // namespace atrous
