#include <doctest/doctest.h>

#include "layers/ops/adaptive_avg_pool2d.h"
#include "layers/ops/max_pool2d.h"
#include "tests/support/golden.h"
#include "tests/support/layers_testing.h"

using namespace atrous;

TEST_CASE("max_pool2d equals torch.nn.functional.max_pool2d") {
  for (const Golden& g : read_goldens("max_pool2d")) {
    CAPTURE(g.name);
    const MaxPool2d layer{g.integer("kernel"), g.integer("stride"), g.integer("padding")};
    const Tensor in = g["input"].map(), expected = g["output"].map();
    REQUIRE(output_shape(layer, in.shape()) == expected.shape());
    Tensor out(expected.shape());
    max_pool2d_reference(layer, in.view(), out.view());
    CHECK(difference(out.view(), expected.view()) == "");
  }
}

TEST_CASE("max_pool2d with ceil_mode equals torch's") {
  for (const Golden& g : read_goldens("max_pool2d_ceil")) {
    CAPTURE(g.name);
    const MaxPool2d layer{g.integer("kernel"), g.integer("stride"), g.integer("padding"), true};
    const Tensor in = g["input"].map(), expected = g["output"].map();
    REQUIRE(output_shape(layer, in.shape()) == expected.shape());
    Tensor out(expected.shape());
    max_pool2d_reference(layer, in.view(), out.view());
    CHECK(difference(out.view(), expected.view()) == "");
  }
}

TEST_CASE("padding does not take part in max pooling, even where everything is minus infinity") {
  constexpr float lowest = -std::numeric_limits<float>::infinity();
  const Tensor in = tensor_of({1, 2, 2, 1}, {-5, lowest, lowest, lowest});
  Tensor out({1, 2, 2, 1});
  max_pool2d_reference({.kernel = 2, .stride = 2, .padding = 1}, in.view(), out.view());
  CHECK(difference(out.view(), in.view()) == "");
}

TEST_CASE("max_pool2d refuses a kernel that does not fit and padding that could see no pixel") {
  CHECK(contains(error_of(ErrorCode::invalid_argument,
                          [] {
                            output_shape(MaxPool2d{5, 1, 1}, {1, 2, 9, 1});
                          }),
                 "kernel of 5 does not fit into 4"));
  CHECK(contains(error_of(ErrorCode::invalid_argument,
                          [] {
                            output_shape(MaxPool2d{3, 1, 2}, {1, 9, 9, 1});
                          }),
                 "padding 2"));
}

TEST_CASE("adaptive_avg_pool2d equals torch.nn.functional.adaptive_avg_pool2d") {
  for (const Golden& g : read_goldens("adaptive_avg_pool2d")) {
    CAPTURE(g.name);
    const AdaptiveAvgPool2d layer{g.integer("out_h"), g.integer("out_w")};
    const Tensor in = g["input"].map(), expected = g["output"].map();
    REQUIRE(output_shape(layer, in.shape()) == expected.shape());
    Tensor out(expected.shape());
    adaptive_avg_pool2d_reference(layer, in.view(), out.view());
    CHECK(difference(out.view(), expected.view(), 1e-6) == "");
  }
}

TEST_CASE("the mean of a large map is as good as its elements") {
  // In fp32 this sum would stop growing at 2^24.
  Tensor in({1, 4100, 4100, 1});
  std::ranges::fill(in.values(), 1.f);
  Tensor out({1, 1, 1, 1});
  adaptive_avg_pool2d_reference({}, in.view(), out.view());
  CHECK(out.data()[0] == 1.f);
}
