// The depthwise kernel against the reference, for every instruction set of this machine.
//
// Inputs are small whole numbers and weights sixteenths of such, so that all sums are exact in fp32 and any
// order of summation must give the very same floats.
#include <doctest/doctest.h>

#include <array>

#include "layers/cpu/conv/conv2d_depthwise.h"
#include "tests/support/conv2d_comparison.h"
#include "tests/support/golden.h"

namespace atrous::depthwise_test {

namespace {

struct Problem {
  std::int64_t n = 1, h = 9, w = 11, channels = 16, kernel_h = 3, kernel_w = 3;
  std::int64_t stride = 1, padding = 1, dilation = 1;
  bool bias = true, residual = false;
  ActivationKind activation = ActivationKind::none;
  std::int64_t beside = 0;  // strange channels on either side of input, residual and output
  std::uint64_t seed = 1;
};

// As the initialiser that makes it again.
std::ostream& operator<<(std::ostream& out, const Problem& p) {
  return out << "Problem{.n = " << p.n << ", .h = " << p.h << ", .w = " << p.w
             << ", .channels = " << p.channels << ", .kernel_h = " << p.kernel_h
             << ", .kernel_w = " << p.kernel_w << ", .stride = " << p.stride << ", .padding = " << p.padding
             << ", .dilation = " << p.dilation << ", .bias = " << p.bias << ", .residual = " << p.residual
             << ", .activation = ActivationKind::" << name_of(p.activation) << ", .beside = " << p.beside
             << ", .seed = " << p.seed << "}";
}

DrawnConv2d set_up(const Problem& p, Draw draw_inputs, Draw draw_weights) {
  return draw_convolution({.weight = {p.channels, 1, p.kernel_h, p.kernel_w, nullptr},
                           .bias = nullptr,
                           .stride = p.stride,
                           .padding = p.padding,
                           .dilation = p.dilation,
                           .groups = p.channels,
                           .activation = p.activation},
                          {p.n, p.h, p.w, p.channels},
                          {.bias = p.bias,
                           .residual = p.residual,
                           .before_in = p.beside,
                           .after_in = p.beside,
                           .before_residual = 2 * p.beside,
                           .after_residual = p.beside,
                           .seed = p.seed},
                          draw_inputs, draw_weights);
}

// Checks one problem on every instruction set; returns whether all was well.
bool agrees_with_reference(const Problem& p, int threads = 1, double tolerance = 0) {
  return equals_reference(set_up(p, Draw::whole, Draw::sixteenths), str_cat(p), make_conv2d_depthwise,
                          {p.beside, 2 * p.beside, threads, tolerance});
}

Problem same_size(std::int64_t h, std::int64_t w, std::int64_t channels, std::int64_t kernel,
                  std::int64_t stride, std::int64_t dilation) {
  return {.h = h,
          .w = w,
          .channels = channels,
          .kernel_h = kernel,
          .kernel_w = kernel,
          .stride = stride,
          .padding = dilation * (kernel - 1) / 2,
          .dilation = dilation};
}

}  // namespace

TEST_CASE("only convolutions of one filter per channel are taken for depthwise") {
  const auto accepted = [](std::int64_t in, std::int64_t out, std::int64_t groups) {
    Random random(1);
    const auto weight = drawn(out * in / groups, random, Draw::whole);
    const Conv2d layer{.weight = {out, in / groups, 1, 1, weight}, .bias = nullptr, .groups = groups};
    return make_conv2d_depthwise(layer, supported_isas().front()) != nullptr;
  };
  CHECK(accepted(6, 6, 6));
  CHECK(accepted(1, 1, 1));
  CHECK_FALSE(accepted(6, 12, 6));  // a multiplier of 2
  CHECK_FALSE(accepted(6, 6, 3));
  CHECK_FALSE(accepted(6, 6, 1));
}

TEST_CASE("the depthwise kernel equals torch.nn.functional.conv2d") {
  int seen = 0;
  for (const Golden& g : read_goldens("conv2d")) {
    const Conv2d layer{.weight = g["weight"].filter(),
                       .bias = g.has("bias") ? g["bias"].shared() : nullptr,
                       .stride = g.integer("stride"),
                       .padding = g.integer("padding"),
                       .dilation = g.integer("dilation"),
                       .groups = g.integer("groups")};
    for (Isa isa : supported_isas()) {
      const auto kernel = make_conv2d_depthwise(layer, isa);
      if (!kernel) continue;
      CAPTURE(g.name);
      CAPTURE(name_of(isa));
      const Tensor in = g["input"].map(), expected = g["output"].map();
      Tensor out(expected.shape());
      run_hostile(*kernel, {in.view()}, out.view(), 1);
      CHECK(difference(out.view(), expected.view()) == "");
      ++seen;
    }
  }
  CHECK(seen >= 3 * static_cast<int>(supported_isas().size()));
}

TEST_CASE(
    "the depthwise kernel equals the reference exactly for MobileNetV3's kernels, strides and dilations") {
  for (std::int64_t channels : {1, 2, 3, 4, 5, 7, 8, 9, 15, 16, 17, 24, 31, 32, 33, 40, 72, 120})
    for (std::int64_t kernel : {3, 5})
      for (std::int64_t stride : {1, 2})
        for (std::int64_t dilation : {1, 2}) {
          Problem p = same_size(7, 13, channels, kernel, stride, dilation);
          p.residual = channels % 2 == 1;
          agrees_with_reference(p);
        }
}

TEST_CASE(
    "the depthwise kernel equals the reference exactly on maps smaller than its kernel and its blocks") {
  for (std::int64_t h : {1, 2, 3, 5})
    for (std::int64_t w : {1, 2, 3, 4, 5, 6, 8, 9, 10})
      for (const auto& [kernel, stride, dilation] :
           {std::array{3, 1, 1}, {3, 2, 1}, {5, 1, 2}, {5, 2, 1}, {7, 1, 1}, {3, 1, 6}, {1, 1, 1}, {1, 2, 1}})
        agrees_with_reference(same_size(h, w, 19, kernel, stride, dilation));
}

TEST_CASE("the depthwise kernel takes any kernel shape, padding and stride") {
  const Problem problems[] = {
      {.h = 6, .w = 9, .channels = 21, .kernel_h = 1, .kernel_w = 7, .padding = 3},
      {.h = 6, .w = 9, .channels = 21, .kernel_h = 5, .kernel_w = 2, .padding = 1},
      {.h = 8, .w = 12, .channels = 33, .padding = 0},
      {.h = 3, .w = 4, .channels = 18, .padding = 5},  // the outer pixels see padding alone
      {.h = 3, .w = 40, .channels = 18, .padding = 9, .dilation = 2},
      {.h = 13, .w = 20, .channels = 17, .stride = 3, .padding = 2, .dilation = 3},
      {.h = 9, .w = 21, .channels = 16, .kernel_h = 1, .kernel_w = 1, .stride = 4, .padding = 0},
      {.h = 4, .w = 4, .channels = 64, .kernel_h = 4, .kernel_w = 4, .padding = 0},
      {.n = 3, .h = 5, .w = 7, .channels = 48, .kernel_h = 5, .kernel_w = 5, .padding = 2}};
  for (Problem p : problems) {
    agrees_with_reference(p);
    p.bias = false, p.residual = true, p.beside = 3, p.activation = ActivationKind::relu;
    agrees_with_reference(p, 2);
  }
}

TEST_CASE("the depthwise kernel applies every activation behind bias and residual") {
  for (ActivationKind kind :
       {ActivationKind::none, ActivationKind::relu, ActivationKind::relu6, ActivationKind::hardsigmoid,
        ActivationKind::hardswish, ActivationKind::sigmoid})
    for (bool bias : {false, true})
      for (bool residual : {false, true}) {
        Problem p = same_size(6, 9, 37, 5, 1, 2);
        p.bias = bias, p.residual = residual, p.activation = kind;
        agrees_with_reference(p, 1, 1e-6);
      }
}

TEST_CASE("the depthwise kernel reads and writes slices of wider tensors and touches nothing beside them") {
  for (std::int64_t channels : {1, 3, 4, 6, 12, 16, 20, 72})
    for (std::int64_t stride : {1, 2}) {
      Problem p = same_size(6, 14, channels, 3, stride, 1);
      p.beside = 5, p.residual = true, p.activation = ActivationKind::relu6;
      agrees_with_reference(p);
    }
}

TEST_CASE("the depthwise kernel equals the reference on random problems") {
  Random random(20240607);
  for (int i = 0; i < 600; ++i) {
    Problem p;
    p.n = pick_of(random, {1, 1, 2, 3});
    p.h = pick(random, 1, 13), p.w = pick(random, 1, 24);
    p.channels = pick_of(random, {1, 3, 4, 8, 11, 16, 24, 35, 50, 80});
    p.kernel_h = pick_of(random, {1, 2, 3, 3, 5, 7}), p.kernel_w = pick_of(random, {1, 2, 3, 3, 5, 7});
    p.stride = pick(random, 1, 3), p.dilation = pick_of(random, {1, 1, 2, 3, 7});
    // Some padding, at least so much that the kernel fits.
    const std::int64_t short_h = p.dilation * (p.kernel_h - 1) + 1 - p.h,
                       short_w = p.dilation * (p.kernel_w - 1) + 1 - p.w;
    p.padding = std::max({std::int64_t{0}, (short_h + 1) / 2, (short_w + 1) / 2}) + pick(random, 0, 3);
    p.bias = pick(random, 0, 1) == 1, p.residual = pick(random, 0, 1) == 1;
    p.activation = pick_of(random, {ActivationKind::none, ActivationKind::relu, ActivationKind::relu6});
    p.beside = pick_of(random, {0, 0, 1, 4});
    p.seed = random();
    if (!agrees_with_reference(p, i % 10 == 0 ? 3 : 1)) break;
  }
}

TEST_CASE("the depthwise kernel gives the same bits for any number of threads") {
  for (Problem p : {same_size(33, 33, 40, 5, 1, 2), same_size(21, 30, 24, 3, 2, 1)}) {
    p.n = 2, p.residual = true, p.activation = ActivationKind::hardswish;
    const DrawnConv2d s = set_up(p, Draw::floats, Draw::floats);
    for (Isa isa : supported_isas()) {
      CAPTURE(name_of(isa));
      const auto kernel = make_conv2d_depthwise(s.layer, isa);
      Tensor first(s.out), again(s.out);
      run_hostile(*kernel, s.inputs, first.view(), 1);
      for (int threads : {1, 2, 3, 7}) {
        CAPTURE(threads);
        run_hostile(*kernel, s.inputs, again.view(), threads);
        CHECK(same_bits(first.view(), again.view()));
      }
    }
  }
}

TEST_CASE("a depthwise sum does not depend on where in its row a pixel lies") {
  // A map that repeats every four pixels: pixels of a full block, of the block that overlaps it, and single
  // ones at the border of a slice must agree to the bit where they see the same.
  Problem p = same_size(5, 24, 20, 3, 1, 1);
  DrawnConv2d s = set_up(p, Draw::floats, Draw::floats);
  const View in = s.in.view();
  for (std::int64_t y = 0; y < p.h; ++y)
    for (std::int64_t x = 4; x < p.w; ++x) std::copy_n(in.pixel(0, y, x - 4), p.channels, in.pixel(0, y, x));
  for (Isa isa : supported_isas()) {
    CAPTURE(name_of(isa));
    for (std::int64_t w = 7; w <= p.w; ++w) {  // blocks end elsewhere for every width
      Tensor narrow({1, p.h, w, p.channels}), out(narrow.shape());
      for (std::int64_t y = 0; y < p.h; ++y)
        std::copy_n(in.pixel(0, y, 0), w * p.channels, narrow.view().pixel(0, y, 0));
      run_hostile(*make_conv2d_depthwise(s.layer, isa), {narrow.view()}, out.view(), 1);
      for (std::int64_t x = 5; x + 1 < w; ++x)
        CHECK(std::equal(out.view().pixel(0, 2, x), out.view().pixel(0, 2, x) + p.channels,
                         out.view().pixel(0, 2, x - 4)));
    }
  }
}

}  // namespace atrous::depthwise_test
