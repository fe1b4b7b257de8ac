// Expansion and depthwise convolution as one layer, and its banded kernel for every instruction set of this
// machine.
//
// Inputs are small whole numbers and weights sixteenths of such, so that all sums are exact in fp32 and any
// order of summation must give the very same floats.
#include "layers/ops/expand_depthwise.h"

#include <doctest/doctest.h>

#include "layers/cpu/conv/expand_depthwise_banded.h"
#include "tests/support/layers_testing.h"

namespace atrous::expand_depthwise_test {

namespace {

struct Problem {
  Shape in{1, 7, 9, 5};
  std::int64_t wide = 20, kernel = 3, stride = 1, dilation = 1;
  std::int64_t beside = 0;  // strange channels on either side of input and output
  ActivationKind first = ActivationKind::relu, second = ActivationKind::relu6;
  std::int64_t padding = -1;  // that which keeps the size
  std::int64_t border = 0;    // padding in front of the expansion
};

std::ostream& operator<<(std::ostream& out, const Problem& p) {
  return out << p.in << " to " << p.wide << ", kernel " << p.kernel << "/" << p.stride << ", dilation "
             << p.dilation << ", padding " << p.padding << ", beside " << p.beside << ", " << name_of(p.first)
             << ", " << name_of(p.second);
}

ExpandDepthwise layer_of(const Problem& p, Random& random, Draw draw) {
  const auto weight = drawn(p.wide * p.in.c, random, draw), bias = drawn(p.wide, random, draw),
             taps = drawn(p.wide * p.kernel * p.kernel, random, draw), shift = drawn(p.wide, random, draw);
  const Conv2d expand{
      .weight = {p.wide, p.in.c, 1, 1, weight}, .bias = bias, .padding = p.border, .activation = p.first};
  const Conv2d depthwise{.weight = {p.wide, 1, p.kernel, p.kernel, taps},
                         .bias = shift,
                         .stride = p.stride,
                         .padding = p.padding < 0 ? p.dilation * (p.kernel - 1) / 2 : p.padding,
                         .dilation = p.dilation,
                         .groups = p.wide,
                         .activation = p.second};
  return {expand, depthwise};
}

void check(const Problem& p, int threads = 1, double tolerance = 0) {
  Random random(1);
  const ExpandDepthwise layer = layer_of(p, random, Draw::sixteenths);
  Slice in(p.in, p.beside, p.beside);
  fill(in.view(), random, Draw::whole);
  const Shape shape = output_shape(layer, p.in);
  Tensor expected(shape);
  expand_depthwise_reference(layer, in.view(), expected.view());
  for (Isa isa : supported_isas()) {
    INFO(str_cat(p));
    CAPTURE(name_of(isa));
    Slice out(shape, p.beside, 2 * p.beside);
    run_hostile(*make_expand_depthwise_banded(layer, isa), {in.view()}, out.view(), threads);
    CHECK(difference(out.view(), expected.view(), tolerance) == "");
    CHECK(out.strangers_untouched());
  }
}

}  // namespace

TEST_CASE("expand_depthwise is a 1x1 convolution and then a depthwise one") {
  Random random(1);
  const ExpandDepthwise layer = layer_of({.stride = 2}, random, Draw::whole);
  Tensor in({2, 7, 9, 5}), wide({2, 7, 9, 20}), expected({2, 4, 5, 20}), out({2, 4, 5, 20});
  fill(in.view(), random, Draw::whole);
  conv2d_reference(layer.expand, in.view(), nullptr, wide.view());
  conv2d_reference(layer.depthwise, wide.view(), nullptr, expected.view());
  REQUIRE(output_shape(layer, in.shape()) == out.shape());
  expand_depthwise_reference(layer, in.view(), out.view());
  CHECK(difference(out.view(), expected.view()) == "");
  CHECK(macs(layer, in.shape()) == 2 * 7 * 9 * 5 * 20 + 2 * 4 * 5 * 20 * 9);
  CHECK(error_of(ErrorCode::invalid_argument, [&] { output_shape(layer, {1, 7, 9, 6}); }) != "");
}

TEST_CASE("the banded kernel equals the reference exactly for MobileNetV3's kernels, strides and dilations") {
  for (std::int64_t wide : {1, 3, 8, 16, 24, 33, 72, 100})
    for (std::int64_t kernel : {3, 5})
      for (std::int64_t stride : {1, 2})
        for (std::int64_t dilation : {1, 2})
          check(
              {.in = {1, 9, 14, 6}, .wide = wide, .kernel = kernel, .stride = stride, .dilation = dilation});
}

TEST_CASE("the banded kernel equals the reference exactly on maps and paddings of any size") {
  for (std::int64_t h : {1, 2, 5})
    for (std::int64_t w : {1, 3, 4, 7, 8, 13})
      for (std::int64_t padding : {-1, 0, 4, 11})
        if (padding > 0 || padding < 0 || (h >= 3 && w >= 3))
          check({.in = {2, h, w, 3}, .wide = 18, .stride = 2, .padding = padding});
  check({.in = {1, 6, 50, 3}, .wide = 18, .kernel = 5, .dilation = 3, .padding = 20});
}

TEST_CASE("a border in front of the expansion holds what the expansion makes of zeros") {
  for (std::int64_t stride : {1, 2})
    for (std::int64_t dilation : {1, 2, 4})
      for (std::int64_t w : {1, 6, 17})
        check({.in = {2, 5, w, 3},
               .wide = 40,
               .stride = stride,
               .dilation = dilation,
               .beside = 2,
               .padding = 0,
               .border = dilation});
  check({.in = {1, 30, 1500, 1}, .wide = 40, .padding = 0, .border = 1}, 2);
}

TEST_CASE("the banded kernel cuts large maps into bands, some of whose rows it expands twice") {
  for (std::int64_t stride : {1, 2})
    for (std::int64_t dilation : {1, 2}) {
      check({.in = {1, 40, 1500, 1}, .wide = 40, .kernel = 5, .stride = stride, .dilation = dilation}, 2);
      check({.in = {2, 300, 90, 2}, .wide = 35, .kernel = 3, .stride = stride, .dilation = dilation}, 2);
    }
  check({.in = {1, 7, 6000, 1},
         .wide = 33,
         .kernel = 5});  // a single row's taps are more than the buffer aims at
}

TEST_CASE("the banded kernel applies both activations, and reads and writes slices") {
  for (ActivationKind first : {ActivationKind::none, ActivationKind::hardswish, ActivationKind::sigmoid})
    for (ActivationKind second : {ActivationKind::none, ActivationKind::relu, ActivationKind::hardswish})
      check({.in = {1, 6, 7, 5}, .wide = 21, .beside = 3, .first = first, .second = second}, 2, 1e-5);
}

TEST_CASE("the banded kernel gives the same bits for any number of threads") {
  for (const Problem& p : {Problem{.in = {2, 65, 65, 24}, .wide = 72, .kernel = 5, .stride = 2},
                           Problem{.in = {1, 33, 33, 40}, .wide = 120, .kernel = 5, .dilation = 2}}) {
    Random random(1);
    const ExpandDepthwise layer = layer_of(p, random, Draw::floats);
    Tensor in(p.in), first(output_shape(layer, p.in)), again(first.shape());
    fill(in.view(), random, Draw::floats);
    for (Isa isa : supported_isas()) {
      CAPTURE(name_of(isa));
      const auto kernel = make_expand_depthwise_banded(layer, isa);
      run_hostile(*kernel, {in.view()}, first.view(), 1);
      for (int threads : {1, 2, 3, 7}) {
        CAPTURE(threads);
        run_hostile(*kernel, {in.view()}, again.view(), threads);
        CHECK(same_bits(first.view(), again.view()));
      }
    }
  }
}

}  // namespace atrous::expand_depthwise_test
