#include <doctest/doctest.h>

#include "layers/ops/adaptive_avg_pool2d.h"
#include "layers/ops/l2_norm.h"
#include "layers/ops/max_pool2d.h"
#include "layers/ops/max_unpool2d.h"
#include "tests/support/golden.h"
#include "tests/support/layers_testing.h"

namespace atrous::pooling_test {

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

TEST_CASE("max_unpool2d equals torch.nn.functional.max_unpool2d, among equal values too") {
  for (const Golden& g : read_goldens("max_unpool2d")) {
    CAPTURE(g.name);
    const MaxUnpool2d layer{g.integer("kernel")};
    const Tensor in = g["input"].map(), before = g["before"].map(), expected = g["output"].map();
    const Shape shapes[] = {in.shape(), before.shape()};
    REQUIRE(layer.output_shape(shapes) == expected.shape());
    Tensor out(expected.shape());
    max_unpool2d_reference(layer, in.view(), before.view(), out.view());
    CHECK(difference(out.view(), expected.view()) == "");
  }
}

TEST_CASE("max_unpool2d refuses a map that the pool did not make") {
  for (const Shape& in : {Shape{1, 3, 3, 4}, Shape{1, 2, 4, 4}, Shape{1, 2, 3, 5}, Shape{2, 2, 3, 4}}) {
    const Shape shapes[] = {in, {1, 5, 7, 4}};
    const std::string message =
        error_of(ErrorCode::invalid_argument, [&] { MaxUnpool2d{2}.output_shape(shapes); });
    CHECK(contains(message, str_cat("expected ", Shape{1, 2, 3, 4})));
    CHECK(contains(message, str_cat("found ", in)));
  }
}

TEST_CASE("l2_norm equals its definition in torch, in double") {
  for (const Golden& g : read_goldens("l2_norm")) {
    CAPTURE(g.name);
    const Tensor in = g["input"].map(), expected = g["output"].map();
    const L2Norm layer{.channels = in.shape().c, .weight = g["weight"].shared()};
    const Shape shapes[] = {in.shape()};
    REQUIRE(layer.output_shape(shapes) == expected.shape());
    Tensor out(expected.shape());
    l2_norm_reference(layer, in.view(), out.view());
    CHECK(difference(out.view(), expected.view(), 1e-7) == "");
  }
}

TEST_CASE("l2_norm refuses other channels than it has factors for") {
  const Shape shapes[] = {{1, 2, 2, 5}};
  CHECK(contains(error_of(ErrorCode::invalid_argument, [&] { L2Norm{.channels = 4}.output_shape(shapes); }),
                 "expected 4 channels, found 5"));
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

}  // namespace atrous::pooling_test
