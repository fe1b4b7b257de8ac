#include "layers/ops/conv2d.h"

#include <doctest/doctest.h>

#include "tests/support/golden.h"
#include "tests/support/layers_testing.h"

namespace atrous::conv2d_test {

namespace {

// One channel in and out, a kernel of ones: every output counts what it sees.
Conv2d counting_conv(std::int64_t kernel, std::int64_t padding, std::int64_t dilation) {
  const auto ones = std::make_shared<const std::vector<float>>(kernel * kernel, 1.f);
  return {.weight = {1, 1, kernel, kernel, {ones, ones->data()}},
          .bias = nullptr,
          .padding = padding,
          .dilation = dilation};
}

Tensor run(const Conv2d& layer, ConstView in, const ConstView* residual = nullptr) {
  Tensor out(output_shape(layer, in.shape));
  conv2d_reference(layer, in, residual, out.view());
  return out;
}

Tensor ones(const Shape& shape) {
  Tensor t(shape);
  std::ranges::fill(t.values(), 1.f);
  return t;
}

}  // namespace

TEST_CASE("conv2d equals torch.nn.functional.conv2d") {
  for (const Golden& g : read_goldens("conv2d")) {
    CAPTURE(g.name);
    const Conv2d layer{.weight = g["weight"].filter(),
                       .bias = g.has("bias") ? g["bias"].shared() : nullptr,
                       .stride = g.integer("stride"),
                       .padding = g.integer("padding"),
                       .dilation = g.integer("dilation"),
                       .groups = g.integer("groups")};
    const Tensor in = g["input"].map(), expected = g["output"].map();
    REQUIRE(output_shape(layer, in.shape()) == expected.shape());
    CHECK(difference(run(layer, in.view()).view(), expected.view()) == "");
  }
}

TEST_CASE("a dilated convolution skips taps that fall in the padding") {
  // Dilation 3 on a 4x4 map: of the nine taps only the corners of the map can see one another.
  const Tensor out = run(counting_conv(3, 3, 3), ones({1, 4, 4, 1}).view());
  CHECK(difference(out.view(),
                   tensor_of({1, 4, 4, 1}, {4, 2, 2, 4, 2, 1, 1, 2, 2, 1, 1, 2, 4, 2, 2, 4}).view()) == "");
}

TEST_CASE("a dilation larger than the map leaves the centre tap alone") {
  const Tensor out = run(counting_conv(3, 36, 36), ones({1, 5, 7, 1}).view());
  CHECK(difference(out.view(), ones({1, 5, 7, 1}).view()) == "");
}

TEST_CASE("a fused residual is added before the fused activation") {
  Conv2d layer = counting_conv(1, 0, 1);
  layer.activation = ActivationKind::relu;
  const Tensor in = tensor_of({1, 1, 4, 1}, {1, 1, -1, -1});
  const Tensor residual = tensor_of({1, 1, 4, 1}, {2, -3, 3, -2});
  const ConstView view = residual.view();
  CHECK(difference(run(layer, in.view(), &view).view(), tensor_of({1, 1, 4, 1}, {3, 0, 2, 0}).view()) == "");
}

TEST_CASE("conv2d reads and writes slices of wider tensors") {
  Random random(1);
  const auto weight = drawn(4 * 3 * 9, random, Draw::whole), bias = drawn(4, random, Draw::whole);
  const Conv2d layer{.weight = {4, 3, 3, 3, weight}, .bias = bias, .padding = 1};
  Slice in({2, 5, 4, 3}, 2, 1), residual({2, 5, 4, 4}, 1, 3), out({2, 5, 4, 4}, 3, 2);
  fill(in.view(), random, Draw::whole);
  fill(residual.view(), random, Draw::whole);
  const ConstView added = residual.view();
  conv2d_reference(layer, in.view(), &added, out.view());

  Tensor dense_in(in.view().shape), dense_added(residual.view().shape);
  for (std::int64_t p = 0; p < 2 * 5 * 4; ++p) {
    std::copy_n(in.view().data + p * in.view().pitch, 3, dense_in.data() + p * 3);
    std::copy_n(residual.view().data + p * residual.view().pitch, 4, dense_added.data() + p * 4);
  }
  const ConstView dense = dense_added.view();
  CHECK(difference(out.view(), run(layer, dense_in.view(), &dense).view()) == "");
  CHECK(out.strangers_untouched());
}

TEST_CASE("conv2d refuses what does not fit and says both numbers") {
  const Conv2d layer = counting_conv(3, 0, 2);
  const auto channels = error_of(ErrorCode::invalid_argument, [&] { output_shape(layer, {1, 9, 9, 2}); });
  CHECK(contains(channels, "1 input channels"));
  CHECK(contains(channels, "found 2"));
  const auto size = error_of(ErrorCode::invalid_argument, [&] { output_shape(layer, {1, 4, 9, 1}); });
  CHECK(contains(size, "covers 5"));
  CHECK(contains(size, "into 4"));
  CHECK(output_shape(layer, {1, 5, 5, 1}) == Shape{1, 1, 1, 1});
}

TEST_CASE("a convolution's cost counts padding taps, groups once and every image") {
  const Conv2d layer{.weight = {6, 2, 3, 3, nullptr}, .bias = nullptr, .padding = 1, .groups = 2};
  CHECK(macs(layer, {5, 7, 8, 4}) == 5 * 7 * 8 * 6 * 2 * 9);
}

}  // namespace atrous::conv2d_test
