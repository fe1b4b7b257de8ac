// The kernels of transposed convolutions against the reference, at odd shapes, on every instruction set.
#include "layers/cpu/conv/conv_transpose2d_subpixel.h"
#include "layers/cpu/conv/conv_transpose2d_columns.h"

#include <doctest/doctest.h>

#include "tests/support/layers_testing.h"

namespace atrous::conv_transpose2d_subpixel_test {

namespace {

struct Case {
  std::int64_t kernel, stride, padding, output_padding, in, out, h, w;
};

// U-Net's, FCN's and Linknet's, kernels that a stride does not divide, and strides that leave gaps.
constexpr Case cases[] = {
    {2, 2, 0, 0, 16, 8, 5, 7},   {4, 2, 0, 0, 5, 5, 3, 4},    {16, 8, 0, 0, 3, 3, 4, 3},
    {4, 2, 1, 0, 17, 9, 6, 5},   {3, 2, 1, 1, 6, 10, 4, 5},   {3, 1, 1, 0, 4, 6, 5, 6},
    {7, 1, 0, 0, 20, 3, 1, 1},   {2, 3, 0, 1, 3, 4, 3, 2},    {5, 3, 2, 0, 8, 33, 4, 1},
    {5, 1, 1, 0, 300, 40, 3, 4}, {3, 1, 0, 0, 19, 17, 2, 5},  {64, 32, 0, 0, 2, 2, 2, 3},
    {1, 1, 0, 0, 4, 4, 3, 3},    {3, 2, 0, 0, 12, 16, 30, 41}};

ConvTranspose2d layer_of(const Case& c, bool depthwise, Random& random, Draw draw) {
  const std::int64_t groups = depthwise ? c.in : 1, out = depthwise ? 1 : c.out;
  return {.weight = {c.in, out, c.kernel, c.kernel, drawn(c.in * out * c.kernel * c.kernel, random, draw)},
          .bias = drawn(out * groups, random, draw),
          .stride = c.stride,
          .padding = c.padding,
          .output_padding = c.output_padding,
          .groups = groups};
}

}  // namespace

TEST_CASE(
    "transposed convolutions equal the reference: exactly on whole numbers, with any number of threads") {
  for (const Isa isa : supported_isas())
    for (const bool depthwise : {false, true})
      for (const Case& c : cases) {
        CAPTURE(name_of(isa));
        CAPTURE(depthwise);
        const bool grows = c.stride == 1 && 2 * c.padding < c.kernel - 1;
        CAPTURE(c.kernel);
        CAPTURE(c.stride);
        Random random(5);
        for (const Draw draw : {Draw::whole, Draw::floats}) {
          const ConvTranspose2d layer = layer_of(c, depthwise, random, draw);
          std::vector<std::unique_ptr<Kernel>> kernels;
          kernels.push_back(depthwise ? make_conv_transpose2d_depthwise(layer, isa)
                                      : make_conv_transpose2d_subpixel(layer, isa));
          if (!depthwise && grows) kernels.push_back(make_conv_transpose2d_columns(layer, isa));
          const Shape in_shape{2, c.h, c.w, c.in}, out_shape = output_shape(layer, in_shape);
          Slice in(in_shape, 2, 3);
          fill(in.view(), random, draw);
          Tensor expected(out_shape), again(out_shape);
          conv_transpose2d_reference(layer, in.view(), expected.view());
          for (const auto& kernel : kernels) {
            REQUIRE(kernel);
            CAPTURE(kernel->name());
            Slice out(out_shape, 1, 2);
            run_hostile(*kernel, {in.view()}, out.view(), 1);
            CHECK(difference(out.view(), expected.view(), draw == Draw::whole ? 0 : 1e-4) == "");
            CHECK(out.strangers_untouched());
            for (const int threads : {2, 5}) {
              run_hostile(*kernel, {in.view()}, again.view(), threads);
              CHECK(same_bits(out.view(), again.view()));
            }
          }
        }
      }
}

TEST_CASE("kernels of transposed convolutions refuse what they cannot do") {
  const Isa isa = supported_isas().front();
  Random random(1);
  const auto weight = drawn(1000, random, Draw::whole);
  const ConvTranspose2d dilated{.weight = {4, 4, 3, 3, weight}, .bias = nullptr, .stride = 2, .dilation = 2},
      grouped{.weight = {4, 2, 3, 3, weight}, .bias = nullptr, .stride = 2, .groups = 2};
  for (const ConvTranspose2d& layer : {dilated, grouped}) {
    CHECK(!make_conv_transpose2d_subpixel(layer, isa));
    CHECK(!make_conv_transpose2d_depthwise(layer, isa));
    CHECK(!make_conv_transpose2d_columns(layer, isa));
  }
  const ConvTranspose2d as_large{.weight = {4, 4, 3, 3, weight}, .bias = nullptr, .padding = 1};
  CHECK(!make_conv_transpose2d_columns(as_large, isa));
}

}  // namespace atrous::conv_transpose2d_subpixel_test
