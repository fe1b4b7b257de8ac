// The kernels for pictures, for few outputs and for heads of very few against the reference, for every
// instruction set of this machine, on numbers whose sums are exact in any order.
#include "layers/cpu/conv/conv2d_few_channels.h"

#include <doctest/doctest.h>

#include "layers/cpu/conv/conv2d_tap_sums.h"
#include "layers/cpu/tiles/row_tile.h"
#include "tests/support/conv2d_comparison.h"

namespace atrous::few_channels_test {

namespace {

struct Problem {
  Shape in{1, 9, 11, 3};
  std::int64_t out = 16, kernel_h = 3, kernel_w = 3, stride = 2, padding = 1;
  bool residual = false;
  std::int64_t beside = 0;  // strange channels on either side of input, residual and output
  ActivationKind activation = ActivationKind::none;
};

std::ostream& operator<<(std::ostream& out, const Problem& p) {
  return out << p.in << " to " << p.out << ", kernel " << p.kernel_h << "x" << p.kernel_w << "/" << p.stride
             << ", padding " << p.padding << ", residual " << p.residual << ", beside " << p.beside;
}

DrawnConv2d set_up(const Problem& p, Draw draw_inputs, Draw draw_weights) {
  return draw_convolution({.weight = {p.out, p.in.c, p.kernel_h, p.kernel_w, nullptr},
                           .bias = nullptr,
                           .stride = p.stride,
                           .padding = p.padding,
                           .activation = p.activation},
                          p.in,
                          {.residual = p.residual,
                           .before_in = p.beside,
                           .after_in = p.beside,
                           .before_residual = p.beside,
                           .after_residual = 2 * p.beside},
                          draw_inputs, draw_weights);
}

using Make = std::unique_ptr<Kernel> (*)(const Conv2d&, Isa);

void check(const Problem& p, int threads = 1, double tolerance = 0, Make make = make_conv2d_few_channels) {
  equals_reference(set_up(p, Draw::whole, Draw::sixteenths), str_cat(p), make,
                   {2 * p.beside, p.beside, threads, tolerance});
}

void check_few_outputs(const Problem& p, int threads = 1, double tolerance = 0) {
  check(p, threads, tolerance, make_conv2d_few_outputs);
}

}  // namespace

TEST_CASE("only undilated, ungrouped convolutions of few channels and several taps are taken for pictures") {
  Random random(1);
  const auto accepted = [&](std::int64_t channels, std::int64_t kernel, std::int64_t dilation,
                            std::int64_t groups) {
    const auto weight = drawn(4 * channels * 9, random, Draw::whole);
    const Conv2d layer{.weight = {4, channels / groups, kernel, kernel, weight},
                       .bias = nullptr,
                       .dilation = dilation,
                       .groups = groups};
    return make_conv2d_few_channels(layer, supported_isas().front()) != nullptr;
  };
  CHECK(accepted(3, 3, 1, 1));
  CHECK(accepted(4, 3, 1, 1));
  CHECK_FALSE(accepted(5, 3, 1, 1));
  CHECK_FALSE(accepted(3, 1, 1, 1));
  CHECK_FALSE(accepted(3, 3, 2, 1));
  CHECK_FALSE(accepted(4, 3, 1, 2));
}

TEST_CASE("the kernel for pictures equals the reference exactly on stems of every kind") {
  for (std::int64_t channels : {1, 2, 3, 4})
    for (std::int64_t kernel : {2, 3, 5, 7})
      for (std::int64_t stride : {1, 2, 4})
        for (std::int64_t out : {5, 16, 40}) {
          Problem p{.in = {1, 12, 31, channels}, .out = out, .kernel_h = kernel, .kernel_w = kernel};
          p.stride = stride, p.padding = kernel / 2;
          check(p);
        }
}

TEST_CASE("the kernel for pictures equals the reference exactly on maps and paddings of any size") {
  for (std::int64_t h : {1, 2, 5})
    for (std::int64_t w : {1, 2, 3, 7, 24, 25, 50})
      for (std::int64_t padding : {1, 3, 6}) {
        check({.in = {2, h, w, 3}, .padding = padding});
        check({.in = {1, h, w, 3}, .kernel_h = 1, .kernel_w = 3, .stride = 1, .padding = padding});
        check({.in = {1, h, w, 3}, .kernel_h = 3, .kernel_w = 1, .stride = 3, .padding = padding});
      }
  check({.in = {1, 8, 9, 3}, .padding = 0});
}

TEST_CASE("the kernel for pictures adds residuals, activates, and reads and writes slices") {
  for (ActivationKind kind : {ActivationKind::relu, ActivationKind::hardswish})
    for (std::int64_t beside : {0, 2})
      check({.in = {2, 9, 33, 3}, .out = 21, .residual = true, .beside = beside, .activation = kind}, 2,
            1e-6);
}

TEST_CASE("the kernel for pictures gives the same bits for any number of threads") {
  const DrawnConv2d s = set_up({.in = {2, 37, 50, 3}, .out = 24, .kernel_h = 7, .kernel_w = 7, .padding = 3},
                               Draw::floats, Draw::floats);
  for (Isa isa : supported_isas()) {
    CAPTURE(name_of(isa));
    const auto kernel = make_conv2d_few_channels(s.layer, isa);
    Tensor first(s.out), again(s.out);
    run_hostile(*kernel, s.inputs, first.view(), 1);
    for (int threads : {1, 2, 3, 7}) {
      run_hostile(*kernel, s.inputs, again.view(), threads);
      CHECK(same_bits(first.view(), again.view()));
    }
  }
}

TEST_CASE("few outputs: only undilated, ungrouped convolutions of several taps, to 32 channels from 64") {
  Random random(1);
  const auto accepted = [&](Filter shape, std::int64_t dilation, std::int64_t groups) {
    shape.data = drawn(shape.d0 * shape.d1 * shape.kernel_h * shape.kernel_w, random, Draw::whole);
    const Conv2d layer{.weight = shape, .bias = nullptr, .dilation = dilation, .groups = groups};
    return make_conv2d_few_outputs(layer, supported_isas().front()) != nullptr;
  };
  CHECK(accepted({32, 64, 3, 3, nullptr}, 1, 1));
  CHECK(accepted({1, 1, 1, 2, nullptr}, 1, 1));
  CHECK_FALSE(accepted({33, 64, 3, 3, nullptr}, 1, 1));
  CHECK_FALSE(accepted({32, 65, 3, 3, nullptr}, 1, 1));
  CHECK_FALSE(accepted({32, 64, 1, 1, nullptr}, 1, 1));
  CHECK_FALSE(accepted({32, 64, 3, 3, nullptr}, 2, 1));
  CHECK_FALSE(accepted({32, 32, 3, 3, nullptr}, 1, 2));
}

TEST_CASE("few outputs: the kernel equals the reference exactly on maps, kernels and paddings of any size") {
  for (std::int64_t channels : {1, 5, 16, 33, 64})
    for (std::int64_t out : {1, 4, 16, 23, 32}) {
      check_few_outputs({.in = {1, 7, 29, channels}, .out = out, .stride = 1});
      check_few_outputs({.in = {2, 6, 30, channels}, .out = out, .kernel_h = 5, .kernel_w = 2, .stride = 3});
    }
  for (std::int64_t h : {1, 2, 5})
    for (std::int64_t w : {1, 2, 3, 4, 7, 24, 25, 50})
      for (std::int64_t padding : {0, 1, 2, 6}) {
        if (w + 2 * padding < 3 || h + 2 * padding < 3) continue;
        check_few_outputs({.in = {2, h, w, 16}, .stride = 1, .padding = padding});
        check_few_outputs({.in = {1, h, w, 6}, .stride = 4, .padding = padding});
      }
}

TEST_CASE("few outputs: the kernel adds residuals, activates, and reads and writes slices") {
  for (ActivationKind kind : {ActivationKind::relu, ActivationKind::hardswish})
    for (std::int64_t beside : {0, 2})
      for (std::int64_t out : {4, 21, 32})
        check_few_outputs({.in = {2, 9, 33, 20},
                           .out = out,
                           .stride = 1,
                           .residual = true,
                           .beside = beside,
                           .activation = kind},
                          2, 1e-6);
}

TEST_CASE("few outputs: the kernel gives the same bits for any number of threads") {
  const DrawnConv2d s = set_up({.in = {2, 37, 50, 32}, .out = 20, .stride = 1}, Draw::floats, Draw::floats);
  for (Isa isa : supported_isas()) {
    CAPTURE(name_of(isa));
    const auto kernel = make_conv2d_few_outputs(s.layer, isa);
    Tensor first(s.out), again(s.out);
    run_hostile(*kernel, s.inputs, first.view(), 1);
    for (int threads : {1, 2, 3, 7}) {
      run_hostile(*kernel, s.inputs, again.view(), threads);
      CHECK(same_bits(first.view(), again.view()));
    }
  }
}

namespace {

// Where an instruction set's vectors do not hold all taps, that kernel which runs there.
std::unique_ptr<Kernel> tap_sums(const Conv2d& layer, Isa isa) {
  auto kernel = make_conv2d_tap_sums(layer, isa);
  return kernel ? std::move(kernel) : make_conv2d_few_outputs(layer, isa);
}

}  // namespace

TEST_CASE("tap sums: convolutions whose outputs of all taps three vectors hold, of up to four outputs") {
  Random random(1);
  for (Isa isa : supported_isas()) {
    CAPTURE(name_of(isa));
    const std::int64_t most = std::int64_t{3} * row_tiles(isa).lanes;
    const auto accepted = [&](Filter shape, std::int64_t stride = 1, std::int64_t dilation = 1,
                              std::int64_t groups = 1, ActivationKind activation = ActivationKind::none) {
      shape.data = drawn(shape.d0 * shape.d1 * shape.kernel_h * shape.kernel_w, random, Draw::whole);
      const Conv2d layer{.weight = shape,
                         .bias = nullptr,
                         .stride = stride,
                         .dilation = dilation,
                         .groups = groups,
                         .activation = activation};
      return make_conv2d_tap_sums(layer, isa) != nullptr;
    };
    for (std::int64_t out : {1, 2, 3, 4}) CHECK(accepted({out, 16, 3, 3, nullptr}) == (9 * out <= most));
    CHECK(accepted({1, 700, 1, 2, nullptr}) == (2 <= most));
    CHECK(accepted({1, 8, 1, most, nullptr}));
    CHECK_FALSE(accepted({1, 8, 1, most + 1, nullptr}));
    CHECK_FALSE(accepted({5, 8, 1, 2, nullptr}));
    CHECK_FALSE(accepted({1, 8, 1, 1, nullptr}));
    CHECK_FALSE(accepted({1, 8, 1, 2, nullptr}, 2));
    CHECK_FALSE(accepted({1, 8, 1, 2, nullptr}, 1, 2));
    CHECK_FALSE(accepted({2, 4, 1, 2, nullptr}, 1, 1, 2));
    CHECK_FALSE(accepted({1, 8, 1, 2, nullptr}, 1, 1, 1, ActivationKind::sigmoid));
    CHECK(accepted({1, 8, 1, 2, nullptr}, 1, 1, 1, ActivationKind::relu) == (2 <= most));
  }
}

TEST_CASE("tap sums: the kernel equals the reference exactly on maps, kernels and paddings of any size") {
  for (std::int64_t channels : {1, 5, 16, 61})
    for (std::int64_t out : {1, 2, 3, 4}) {
      check({.in = {1, 7, 29, channels}, .out = out, .stride = 1}, 1, 0, tap_sums);
      check({.in = {2, 70, 6, channels}, .out = out, .kernel_h = 4, .kernel_w = 2, .stride = 1}, 1, 0,
            tap_sums);
      check({.in = {1, 12, 9, channels}, .out = out, .kernel_h = 1, .kernel_w = 5, .stride = 1}, 1, 0,
            tap_sums);
    }
  for (std::int64_t out : {1, 4})
    for (std::int64_t h : {1, 2, 5, 33})
      for (std::int64_t w : {1, 2, 3, 4, 25})
        for (std::int64_t padding : {0, 1, 2, 6}) {
          if (w + 2 * padding < 3 || h + 2 * padding < 3) continue;
          check({.in = {2, h, w, 6}, .out = out, .stride = 1, .padding = padding}, 1, 0, tap_sums);
        }
}

TEST_CASE("tap sums: the kernel adds residuals, activates, and reads and writes slices") {
  for (ActivationKind kind : {ActivationKind::none, ActivationKind::relu})
    for (std::int64_t beside : {0, 2})
      for (bool residual : {false, true})
        for (std::int64_t out : {1, 2, 3, 4})
          check({.in = {2, 9, 33, 20},
                 .out = out,
                 .stride = 1,
                 .residual = residual,
                 .beside = beside,
                 .activation = kind},
                2, 0, tap_sums);
}

TEST_CASE("tap sums: the kernel gives the same bits for any number of threads, and in a batch") {
  const DrawnConv2d s = set_up({.in = {2, 97, 50, 32}, .out = 1, .stride = 1}, Draw::floats, Draw::floats);
  for (Isa isa : supported_isas()) {
    CAPTURE(name_of(isa));
    const auto kernel = tap_sums(s.layer, isa);
    Tensor first(s.out), again(s.out);
    run_hostile(*kernel, s.inputs, first.view(), 1);
    CHECK(difference(first.view(), by_reference(s).view(), 1e-5) == "");
    for (int threads : {1, 2, 3, 7}) {
      run_hostile(*kernel, s.inputs, again.view(), threads);
      CHECK(same_bits(first.view(), again.view()));
    }
  }
}

}  // namespace atrous::few_channels_test
