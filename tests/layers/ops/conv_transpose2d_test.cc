#include "layers/ops/conv_transpose2d.h"

#include <doctest/doctest.h>

#include "layers/ops/resize.h"
#include "tests/support/golden.h"
#include "tests/support/layers_testing.h"

namespace atrous::conv_transpose2d_test {

namespace {

Tensor run(const ConvTranspose2d& layer, ConstView in) {
  Tensor out(output_shape(layer, in.shape));
  conv_transpose2d_reference(layer, in, out.view());
  return out;
}

Tensor random_map(const Shape& shape) {
  Random random(7);
  Tensor t(shape);
  fill(t.view(), random, Draw::floats);
  return t;
}

// Bilinear resizing with align_corners = false.
Tensor resized(const Tensor& in, std::int64_t h, std::int64_t w) {
  Tensor out({in.shape().n, h, w, in.shape().c});
  resize_reference(Resize{}, in.view(), out.view());
  return out;
}

// The rectangle of rows [y, y + h) and columns [x, x + w).
Tensor crop(const Tensor& in, std::int64_t y, std::int64_t x, std::int64_t h, std::int64_t w) {
  Tensor out({in.shape().n, h, w, in.shape().c});
  for (std::int64_t n = 0; n < in.shape().n; ++n)
    for (std::int64_t row = 0; row < h; ++row)
      for (std::int64_t column = 0; column < w; ++column)
        std::copy_n(in.view().pixel(n, y + row, x + column), in.shape().c, out.view().pixel(n, row, column));
  return out;
}

}  // namespace

TEST_CASE("conv_transpose2d equals torch.nn.functional.conv_transpose2d") {
  for (const Golden& g : read_goldens("conv_transpose2d")) {
    CAPTURE(g.name);
    const ConvTranspose2d layer{.weight = g["weight"].filter(),
                                .bias = g.has("bias") ? g["bias"].shared() : nullptr,
                                .stride = g.integer("stride"),
                                .padding = g.integer("padding"),
                                .output_padding = g.integer("output_padding"),
                                .dilation = g.integer("dilation"),
                                .groups = g.integer("groups")};
    const Tensor in = g["input"].map(), expected = g["output"].map();
    REQUIRE(output_shape(layer, in.shape()) == expected.shape());
    CHECK(difference(run(layer, in.view()).view(), expected.view()) == "");
  }
}

TEST_CASE("a transposed convolution writes a slice of a wider tensor and nothing beside it") {
  Random random(3);
  const auto weight = drawn(2 * 3 * 9, random, Draw::whole), bias = drawn(3, random, Draw::whole);
  const ConvTranspose2d layer{.weight = {2, 3, 3, 3, weight}, .bias = bias, .stride = 2, .padding = 1};
  Slice in({1, 3, 4, 2}, 1, 2), out(output_shape(layer, {1, 3, 4, 2}), 2, 1);
  fill(in.view(), random, Draw::whole);
  conv_transpose2d_reference(layer, in.view(), out.view());
  Tensor dense(in.view().shape);
  for (std::int64_t p = 0; p < 12; ++p)
    std::copy_n(in.view().data + p * in.view().pitch, 2, dense.data() + p * 2);
  CHECK(difference(out.view(), run(layer, dense.view()).view()) == "");
  CHECK(out.strangers_untouched());
}

TEST_CASE("a transposed convolution refuses strange channels and padding that leaves nothing") {
  const ConvTranspose2d layer{.weight = {2, 1, 3, 3, nullptr}, .bias = nullptr, .padding = 2};
  CHECK(contains(error_of(ErrorCode::invalid_argument,
                          [&] {
                            output_shape(layer, {1, 4, 4, 3});
                          }),
                 "expected 2 input channels, found 3"));
  CHECK(contains(error_of(ErrorCode::invalid_argument,
                          [&] {
                            output_shape(layer, {1, 2, 9, 2});
                          }),
                 "nothing"));
  CHECK(output_shape(layer, {1, 3, 9, 2}) == Shape{1, 1, 7, 1});
}

TEST_CASE("a transposed convolution's cost counts every input pixel times the kernel") {
  const ConvTranspose2d layer{.weight = {4, 3, 5, 5, nullptr}, .bias = nullptr, .stride = 2, .groups = 2};
  CHECK(macs(layer, {2, 6, 7, 4}) == 2 * 6 * 7 * 4 * 3 * 25);
}

TEST_CASE("the bilinear kernel is FCN's") {
  for (const Golden& g : read_goldens("bilinear_kernel")) {
    const std::int64_t factor = g.integer("factor"), side = 2 * factor;
    CAPTURE(factor);
    const ConvTranspose2d layer = bilinear_upsampling(3, factor);
    CHECK(layer.groups == 3);
    CHECK(layer.bias == nullptr);
    REQUIRE(layer.weight.elements() == 3 * side * side);
    const Tensor expected = tensor_of({1, side, side, 1}, g["kernel"].values);
    for (std::int64_t c = 0; c < 3; ++c) {
      const ConstView kernel{layer.weight.data.get() + c * side * side, {1, side, side, 1}, 1};
      CHECK(difference(kernel, expected.view(), 1e-6) == "");
    }
  }
}

TEST_CASE("bilinear upsampling needs an even, positive factor") {
  for (std::int64_t factor : {-2, 0, 1, 3})
    CHECK(contains(error_of(ErrorCode::invalid_argument, [&] { bilinear_upsampling(1, factor); }),
                   str_cat("found ", factor)));
}

TEST_CASE("bilinear upsampling by 8 equals bilinear resizing, save within 4 pixels of the border") {
  for (const Shape& shape : {Shape{1, 3, 5, 2}, Shape{2, 2, 2, 3}, Shape{1, 1, 4, 1}, Shape{1, 6, 1, 1}}) {
    CAPTURE(shape);
    const Tensor in = random_map(shape);
    const std::int64_t h = 8 * shape.h, w = 8 * shape.w;
    const Tensor upsampled = run(bilinear_upsampling(shape.c, 8), in.view()), bilinear = resized(in, h, w);
    REQUIRE(upsampled.shape() == bilinear.shape());
    if (shape.h > 1 && shape.w > 1)  // else there is no inside
      CHECK(difference(crop(upsampled, 4, 4, h - 8, w - 8).view(), crop(bilinear, 4, 4, h - 8, w - 8).view(),
                       1e-6) == "");
    // Each of the four rows and columns along the border differs: there the transposed convolution blends
    // with the zeros outside, while resizing repeats the border.
    for (std::int64_t i = 0; i < 4; ++i) {
      CAPTURE(i);
      const auto differs = [&](std::int64_t y, std::int64_t x, std::int64_t rows, std::int64_t columns) {
        return difference(crop(upsampled, y, x, rows, columns).view(),
                          crop(bilinear, y, x, rows, columns).view(), 1e-3) != "";
      };
      CHECK(differs(i, 0, 1, w));
      CHECK(differs(h - 1 - i, 0, 1, w));
      CHECK(differs(0, i, h, 1));
      CHECK(differs(0, w - 1 - i, h, 1));
    }
  }
}

TEST_CASE("for other sizes the map of ceil(size / 8) is upsampled by 8 and cropped at the top left") {
  const std::int64_t h = 21, w = 34;            // 8 * 3 - 3 and 8 * 5 - 6
  const Tensor low = random_map({1, 3, 5, 2});  // ceil(h / 8), ceil(w / 8)
  const Tensor cropped = crop(run(bilinear_upsampling(2, 8), low.view()), 0, 0, h, w);
  // The crop is that of a resize to the next multiples of 8 ...
  const Tensor resized_up = crop(resized(low, 24, 40), 0, 0, h, w);
  CHECK(difference(crop(cropped, 4, 4, 16, 30).view(), crop(resized_up, 4, 4, 16, 30).view(), 1e-6) == "");
  // ... which is not a resize to the picture's own size: that one's steps are smaller than 1/8 pixel.
  CHECK(difference(crop(cropped, 4, 4, 16, 30).view(), crop(resized(low, h, w), 4, 4, 16, 30).view(), 1e-2) !=
        "");
}

}  // namespace atrous::conv_transpose2d_test
