// The textbook's convolution against the reference: small whole numbers, so that every order of summation
// gives the same floats.
#include "layers/cpu/eigen/conv2d_eigen.h"

#include <doctest/doctest.h>

#include "tests/support/conv2d_comparison.h"

namespace atrous::conv2d_eigen_test {

TEST_CASE("eigen: odd shapes, groups, residuals and slices of wider maps give the reference's floats") {
  struct Problem {
    Conv2d layer;
    Shape in;
    bool residual;
  };
  const auto conv = [](std::int64_t out, std::int64_t in, std::int64_t kh, std::int64_t kw,
                       std::int64_t stride, std::int64_t padding, std::int64_t dilation, std::int64_t groups,
                       ActivationKind activation) {
    return Conv2d{.weight = {out, in / groups, kh, kw, nullptr},
                  .bias = nullptr,
                  .stride = stride,
                  .padding = padding,
                  .dilation = dilation,
                  .groups = groups,
                  .activation = activation};
  };
  const Problem problems[] = {
      {conv(1, 1, 1, 1, 1, 0, 1, 1, ActivationKind::none), {1, 1, 1, 1}, false},
      {conv(7, 5, 3, 3, 1, 1, 1, 1, ActivationKind::relu), {2, 9, 11, 5}, true},
      {conv(6, 4, 3, 3, 2, 36, 36, 2, ActivationKind::none), {1, 13, 7, 4}, false},
      {conv(33, 17, 1, 5, 1, 2, 1, 1, ActivationKind::relu6), {1, 40, 31, 17}, true},
      {conv(8, 8, 3, 3, 1, 2, 2, 8, ActivationKind::none), {3, 6, 6, 8}, false},
      {conv(16, 300, 3, 3, 1, 1, 1, 1, ActivationKind::none), {1, 30, 37, 300}, true}};
  std::uint64_t seed = 1;
  for (const Problem& p : problems) {
    const DrawnConv2d s = draw_convolution(p.layer, p.in,
                                           {.bias = seed % 2 == 0,
                                            .residual = p.residual,
                                            .before_in = 3,
                                            .after_in = 1,
                                            .before_residual = 2,
                                            .seed = seed},
                                           Draw::whole, Draw::sixteenths);
    for (const int threads : {1, 3})
      equals_reference(s, std::to_string(seed),
                       [](const Conv2d& layer, Isa) { return make_conv2d_eigen(layer); },
                       {.before = 2, .after = 1, .threads = threads});
    ++seed;
  }
}

}  // namespace atrous::conv2d_eigen_test
