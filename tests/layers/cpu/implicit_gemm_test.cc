// The implicit GEMM against the reference, for every instruction set of this machine.
//
// Inputs are small whole numbers and weights sixteenths of such, so that all sums are exact in fp32 and any
// order of summation must give the very same floats.
#include <doctest/doctest.h>

#include <iostream>
#include <limits>
#include <thread>

#include "layers/cpu/conv/conv2d_implicit_gemm.h"
#include "tests/support/conv2d_comparison.h"
#include "tests/support/golden.h"

namespace atrous::implicit_gemm_test {

namespace {

struct Problem {
  std::int64_t n = 1, h = 1, w = 1, in = 1, out = 1, kernel_h = 1, kernel_w = 1;
  std::int64_t stride = 1, padding = 0, dilation = 1, groups = 1;
  bool bias = false, residual = false;
  ActivationKind activation = ActivationKind::none;
  // Channels of wider tensors before and after the slice that is read or written.
  std::int64_t beside_in = 0, beside_residual = 0, beside_out = 0;
  std::uint64_t seed = 1;
};

// As the initialiser that makes it again.
std::ostream& operator<<(std::ostream& out, const Problem& p) {
  return out << "Problem{.n = " << p.n << ", .h = " << p.h << ", .w = " << p.w << ", .in = " << p.in
             << ", .out = " << p.out << ", .kernel_h = " << p.kernel_h << ", .kernel_w = " << p.kernel_w
             << ", .stride = " << p.stride << ", .padding = " << p.padding << ", .dilation = " << p.dilation
             << ", .groups = " << p.groups << ", .bias = " << p.bias << ", .residual = " << p.residual
             << ", .activation = ActivationKind::" << name_of(p.activation)
             << ", .beside_in = " << p.beside_in << ", .beside_residual = " << p.beside_residual
             << ", .beside_out = " << p.beside_out << ", .seed = " << p.seed << "}";
}

constexpr ActivationKind all_activations[] = {ActivationKind::none,      ActivationKind::relu,
                                              ActivationKind::relu6,     ActivationKind::hardsigmoid,
                                              ActivationKind::hardswish, ActivationKind::sigmoid};

std::unique_ptr<Kernel> implicit_gemm(const Conv2d& layer, Isa isa, int threads) {
  return make_conv2d_implicit_gemm(std::make_shared<PackedConv2d>(layer, isa, threads));
}

DrawnConv2d set_up(const Problem& p, Draw draw_inputs, Draw draw_weights) {
  return draw_convolution({.weight = {p.out, p.in / p.groups, p.kernel_h, p.kernel_w, nullptr},
                           .bias = nullptr,
                           .stride = p.stride,
                           .padding = p.padding,
                           .dilation = p.dilation,
                           .groups = p.groups,
                           .activation = p.activation},
                          {p.n, p.h, p.w, p.in},
                          {.bias = p.bias,
                           .residual = p.residual,
                           .before_in = p.beside_in,
                           .after_in = p.beside_in / 2,
                           .before_residual = p.beside_residual / 2,
                           .after_residual = p.beside_residual,
                           .seed = p.seed},
                          draw_inputs, draw_weights);
}

// relu, relu6 and the hard ones do to a float what the reference does; only exp is computed another way.
double tolerance(ActivationKind kind) {
  return kind == ActivationKind::sigmoid       ? 1e-6
         : kind == ActivationKind::hardsigmoid ? 1e-7
         : kind == ActivationKind::hardswish   ? 1e-6
                                               : 0.0;
}

// Checks one problem on every instruction set; returns whether all was well.
bool agrees_with_reference(const Problem& p, int threads = 1) {
  const auto make = [threads](const Conv2d& layer, Isa isa) { return implicit_gemm(layer, isa, threads); };
  return equals_reference(set_up(p, Draw::whole, Draw::sixteenths), str_cat(p), make,
                          {p.beside_out, p.beside_out / 2, threads, tolerance(p.activation)});
}

Problem square(std::int64_t size, std::int64_t in, std::int64_t out, std::int64_t kernel,
               std::int64_t stride = 1, std::int64_t dilation = 1, std::int64_t groups = 1) {
  return {.h = size,
          .w = size,
          .in = in,
          .out = out,
          .kernel_h = kernel,
          .kernel_w = kernel,
          .stride = stride,
          .padding = dilation * (kernel - 1) / 2,
          .dilation = dilation,
          .groups = groups};
}

struct Named {
  const char* name;
  Problem problem;
};

std::vector<Named> named_problems() {
  std::vector<Named> all = {
      {"one number", square(1, 1, 1, 1)},
      {"one pixel, padded kernel", square(1, 3, 5, 3)},
      {"a row", {.h = 1, .w = 37, .in = 5, .out = 7, .kernel_h = 3, .kernel_w = 3, .padding = 1}},
      {"a column", {.h = 37, .w = 1, .in = 5, .out = 7, .kernel_h = 3, .kernel_w = 3, .padding = 1}},
      {"resnet stem 7x7/2 of three channels", square(22, 3, 16, 7, 2)},
      {"resnet reduce 1x1", square(9, 64, 16, 1)},
      {"resnet expand 1x1", square(9, 16, 64, 1)},
      {"resnet 3x3", square(9, 32, 32, 3)},
      {"resnet 3x3/2", square(10, 32, 24, 3, 2)},
      {"resnet downsample 1x1/2", square(9, 48, 40, 1, 2)},
      {"resnet layer4, dilation 4", square(11, 24, 24, 3, 1, 4)},
      {"aspp rate 12", square(9, 33, 21, 3, 1, 12)},
      {"aspp rate 12, outer taps partly inside", square(17, 16, 16, 3, 1, 12)},
      {"aspp rate 24", square(28, 6, 9, 3, 1, 24)},
      {"aspp rate 36, dilation larger than the map", square(13, 16, 16, 3, 1, 36)},
      {"aspp rate 36, one row of taps inside",
       {.h = 5, .w = 40, .in = 8, .out = 16, .kernel_h = 3, .kernel_w = 3, .padding = 36, .dilation = 36}},
      {"aspp projection, k of several stretches", square(5, 640, 21, 1)},
      {"classifier, 21 classes", square(7, 128, 21, 1)},
      {"k one less than a stretch", square(3, 255, 5, 1)},
      {"k of one stretch", square(3, 256, 5, 1)},
      {"k one more than a stretch", square(3, 257, 5, 1)},
      {"k of two stretches and one", square(3, 513, 5, 1)},
      {"channels of half a stretch", square(4, 128, 9, 3)},
      {"channels just under half a stretch share it", square(4, 127, 9, 3)},
      {"wide taps in uneven stretches", square(4, 300, 9, 3)},
      {"narrow taps, several rows to a stretch", square(8, 33, 9, 3)},
      {"narrow taps broken off by the stretch's end", square(6, 60, 9, 3)},
      {"one channel, 7x7", square(12, 1, 3, 7)},
      {"21 channels, 5x5", square(8, 21, 33, 5)},
      {"narrow and dilated", square(9, 21, 21, 3, 1, 2)},
      {"257 output channels", square(4, 9, 257, 1)},
      {"more than 512 output channels", square(3, 17, 547, 1)},
      {"more than 512 output channels, 3x3", square(3, 5, 1040, 3)},
      {"columns one less than a panel of 32", square(4, 8, 31, 1)},
      {"columns one more than a panel of 32", square(4, 8, 33, 3)},
      {"columns one less than a panel of 16", square(4, 8, 15, 1)},
      {"columns one more than a panel of 8", square(4, 8, 9, 3)},
      {"more than 192 pixels", square(14, 7, 5, 3)},
      {"192 pixels", {.h = 12, .w = 16, .in = 7, .out = 5}},
      {"193 pixels", {.h = 1, .w = 193, .in = 7, .out = 5}},
      {"pixels of many blocks", square(31, 4, 8, 3)},
      {"stride 3", square(16, 6, 10, 3, 3)},
      {"stride larger than the kernel", square(11, 6, 10, 1, 3)},
      {"stride and dilation", square(15, 6, 10, 3, 2, 3)},
      {"two groups", square(7, 24, 36, 3, 1, 1, 2)},
      {"groups of odd sizes", square(6, 15, 21, 3, 2, 1, 3)},
      {"resnext, 8 groups of 4", square(7, 32, 32, 3, 1, 1, 8)},
      {"wide groups of several stretches", square(3, 600, 20, 1, 1, 1, 2)},
      {"dilated groups", square(9, 12, 8, 3, 1, 4, 4)},
      {"depthwise", square(8, 19, 19, 3, 1, 1, 19)},
      {"depthwise 5x5, dilated, as in MobileNetV3", square(9, 17, 17, 5, 1, 2, 17)},
      {"depthwise with multiplier", square(6, 7, 21, 3, 1, 1, 7)},
      {"kernel 1x7", {.h = 6, .w = 9, .in = 5, .out = 6, .kernel_h = 1, .kernel_w = 7, .padding = 3}},
      {"kernel 5x2", {.h = 6, .w = 9, .in = 5, .out = 6, .kernel_h = 5, .kernel_w = 2, .padding = 1}},
      {"no padding", {.h = 8, .w = 7, .in = 11, .out = 6, .kernel_h = 3, .kernel_w = 3}},
      {"padding wider than the kernel",
       {.h = 3, .w = 4, .in = 5, .out = 6, .kernel_h = 3, .kernel_w = 3, .padding = 5}},
      {"kernel larger than the input",
       {.h = 2, .w = 3, .in = 9, .out = 6, .kernel_h = 7, .kernel_w = 7, .padding = 3}},
  };
  Problem batch = square(9, 13, 22, 3);
  batch.n = 3;
  all.push_back({"batch 3", batch});
  batch.h = 15;
  batch.groups = 1, batch.stride = 2;
  all.push_back({"batch 3, strided", batch});
  return all;
}

}  // namespace

TEST_CASE("the implicit GEMM is tested on these instruction sets") {
  REQUIRE(!supported_isas().empty());
  std::string names;
  for (Isa isa : supported_isas()) {
    names += str_cat(" ", name_of(isa));
    CHECK(isa_from_name(name_of(isa)) == isa);
  }
  std::cout << "instruction sets under test:" << names << "\n";
  CHECK(contains(error_of(ErrorCode::invalid_argument, [] { isa_from_name("mmx"); }),
                 name_of(supported_isas().back())));
}

TEST_CASE("the implicit GEMM equals the reference exactly on every named shape") {
  for (const Named& named : named_problems()) {
    CAPTURE(named.name);
    agrees_with_reference(named.problem);
  }
}

TEST_CASE("a precise layer, too, equals the reference exactly on every named shape") {
  for (const Named& named : named_problems()) {
    CAPTURE(named.name);
    DrawnConv2d s = set_up(named.problem, Draw::whole, Draw::whole);
    s.layer.rounding = Rounding::precise;
    Tensor expected(s.out), out(s.out);
    conv2d_reference(s.layer, s.inputs[0], nullptr, expected.view());
    for (Isa isa : supported_isas()) {
      CAPTURE(name_of(isa));
      run_hostile(*implicit_gemm(s.layer, isa, 2), {s.inputs[0]}, out.view(), 2);
      CHECK(difference(out.view(), expected.view()) == "");
    }
  }
}

TEST_CASE("the implicit GEMM adds bias and residual, then applies the activation, on every named shape") {
  for (const Named& named : named_problems()) {
    CAPTURE(named.name);
    Problem p = named.problem;
    p.bias = p.residual = true;
    p.activation = ActivationKind::relu;
    agrees_with_reference(p);
  }
}

namespace {

// The layer's formula in double, rounded once.
Tensor summed_in_double(const Conv2d& layer, ConstView in, const ConstView* residual, const Shape& shape) {
  Tensor out(shape);
  const Filter& w = layer.weight;
  for (std::int64_t n = 0; n < shape.n; ++n)
    for (std::int64_t y = 0; y < shape.h; ++y)
      for (std::int64_t x = 0; x < shape.w; ++x)
        for (std::int64_t o = 0; o < shape.c; ++o) {
          double sum = layer.bias ? static_cast<double>(layer.bias.get()[o]) : 0;
          for (std::int64_t ky = 0; ky < w.kernel_h; ++ky)
            for (std::int64_t kx = 0; kx < w.kernel_w; ++kx) {
              const std::int64_t from_y = y * layer.stride - layer.padding + ky * layer.dilation,
                                 from_x = x * layer.stride - layer.padding + kx * layer.dilation;
              if (from_y < 0 || from_y >= in.shape.h || from_x < 0 || from_x >= in.shape.w) continue;
              for (std::int64_t i = 0; i < w.d1; ++i)
                sum += static_cast<double>(in.at(n, from_y, from_x, i)) *
                       static_cast<double>(w.at(o, i, ky, kx));
            }
          if (residual) sum += static_cast<double>(residual->at(n, y, x, o));
          out.view().at(n, y, x, o) = activate(layer.activation, static_cast<float>(sum));
        }
  return out;
}

}  // namespace

TEST_CASE("a precise layer's sums round hardly more than those of doubles") {
  for (Problem p : {square(7, 21, 37, 3), square(5, 640, 21, 1), square(9, 130, 40, 3, 1, 12),
                    square(13, 16, 300, 3, 2), square(12, 256, 64, 3)})
    for (const bool residual : {false, true}) {
      p.bias = p.residual = residual;
      p.activation = residual ? ActivationKind::relu : ActivationKind::none;
      INFO(str_cat(p));
      DrawnConv2d s = set_up(p, Draw::floats, Draw::floats);
      s.layer.rounding = Rounding::precise;
      const Tensor expected =
          summed_in_double(s.layer, s.inputs[0], residual ? &s.inputs[1] : nullptr, s.out);
      float largest = 0;
      for (const float x : expected.values()) largest = std::max(largest, std::abs(x));
      Tensor one(s.out), out(s.out);
      for (Isa isa : supported_isas()) {
        CAPTURE(name_of(isa));
        run_hostile(*implicit_gemm(s.layer, isa, 1), s.inputs, one.view(), 1);
        // A float's last place is 6e-8 to 1.2e-7 of it. The reference's sums, of floats alone, miss this
        // by three times and more.
        float most = 0;
        for (std::size_t i = 0; i < expected.values().size(); ++i)
          most = std::max(most, std::abs(one.values()[i] - expected.values()[i]));
        CHECK(most <= 1.2e-7f * largest);
        for (const int threads : {2, 5}) {
          run_hostile(*implicit_gemm(s.layer, isa, threads), s.inputs, out.view(), threads);
          CHECK(difference(out.view(), one.view()) == "");
        }
      }
    }
}

TEST_CASE("a precise layer applies every activation, and keeps what is infinite") {
  for (ActivationKind kind :
       {ActivationKind::none, ActivationKind::relu, ActivationKind::relu6, ActivationKind::hardsigmoid,
        ActivationKind::hardswish, ActivationKind::sigmoid}) {
    CAPTURE(name_of(kind));
    Problem p = square(6, 21, 37, 3, 1, 2);
    p.bias = p.residual = true;
    p.activation = kind;
    DrawnConv2d s = set_up(p, Draw::floats, Draw::floats);
    s.layer.rounding = Rounding::precise;
    const Tensor expected = summed_in_double(s.layer, s.inputs[0], &s.inputs[1], s.out);
    Tensor out(s.out);
    for (Isa isa : supported_isas()) {
      CAPTURE(name_of(isa));
      run_hostile(*implicit_gemm(s.layer, isa, 2), s.inputs, out.view(), 2);
      CHECK(difference(out.view(), expected.view(), 1e-5) == "");
    }
  }
  const auto one = std::make_shared<const float>(1.f);
  const float infinity = std::numeric_limits<float>::infinity();
  Tensor in({1, 1, 2, 1}), out(in.shape());
  in.data()[0] = infinity;
  in.data()[1] = -infinity;
  const Conv2d layer{.weight = {1, 1, 1, 1, one}, .bias = one, .rounding = Rounding::precise};
  for (Isa isa : supported_isas()) {
    CAPTURE(name_of(isa));
    run_hostile(*implicit_gemm(layer, isa, 1), {in.view()}, out.view(), 1);
    CHECK(out.data()[0] == infinity);
    CHECK(out.data()[1] == -infinity);
  }
}

TEST_CASE("the implicit GEMM applies every activation, with and without bias and residual") {
  for (ActivationKind kind :
       {ActivationKind::none, ActivationKind::relu, ActivationKind::relu6, ActivationKind::hardsigmoid,
        ActivationKind::hardswish, ActivationKind::sigmoid})
    for (bool bias : {false, true})
      for (bool residual : {false, true}) {
        Problem p = square(6, 21, 37, 3, 1, 2);
        p.bias = bias, p.residual = residual, p.activation = kind;
        agrees_with_reference(p);
      }
}

TEST_CASE("the implicit GEMM's activations equal torch's, at their knees and far out too") {
  const auto one = std::make_shared<const float>(1.f);
  std::size_t seen = 0;
  for (const Golden& g : read_goldens("activation"))
    for (ActivationKind kind : all_activations) {
      if (name_of(kind) != g.name) continue;
      ++seen;
      const Conv2d identity{.weight = {1, 1, 1, 1, one}, .bias = nullptr, .activation = kind};
      // Every value becomes a pixel of one channel.
      const auto count = static_cast<std::int64_t>(g["input"].values.size());
      const Tensor in = tensor_of({1, 1, count, 1}, g["input"].values),
                   expected = tensor_of({1, 1, count, 1}, g["output"].values);
      Tensor out(in.shape());
      for (Isa isa : supported_isas()) {
        CAPTURE(g.name);
        CAPTURE(name_of(isa));
        run_hostile(*implicit_gemm(identity, isa, 1), {in.view()}, out.view(), 1);
        CHECK(difference(out.view(), expected.view(), 1e-6) == "");
      }
    }
  CHECK(seen == std::size(all_activations));
}

TEST_CASE("the sigmoid of a very negative number is 0 on every instruction set") {
  const Conv2d identity{.weight = {1, 1, 1, 1, std::make_shared<const float>(1.f)},
                        .bias = nullptr,
                        .activation = ActivationKind::sigmoid};
  constexpr float infinity = std::numeric_limits<float>::infinity();
  const Tensor in =
      tensor_of({1, 1, 10, 1}, {-87, -88, -89, -104, -105, -200, -1000, -1e9f, -3e38f, -infinity});
  const Tensor expected = Tensor::zeros(in.shape());
  Tensor out(in.shape());
  for (Isa isa : supported_isas()) {
    CAPTURE(name_of(isa));
    run_hostile(*implicit_gemm(identity, isa, 1), {in.view()}, out.view(), 1);
    CHECK(difference(out.view(), expected.view(), 1e-6) == "");
  }
}

namespace {

// Problems of one and of several stretches, with taps in the padding.
std::vector<Problem> problems_with_residual() {
  std::vector<Problem> all = {square(7, 21, 37, 3),         square(5, 640, 21, 1),
                              square(4, 300, 33, 3),        square(6, 60, 9, 3),
                              square(13, 16, 16, 3, 1, 36), square(9, 130, 40, 3, 1, 12),
                              square(9, 12, 8, 3, 1, 4, 4), square(15, 20, 30, 3, 2)};
  for (Problem& p : all) {
    p.n = 2;
    p.bias = p.residual = true;
    p.activation = ActivationKind::relu;
  }
  return all;
}

}  // namespace

TEST_CASE("a residual of one pixel per image is repeated over the map") {
  for (const Problem& p : problems_with_residual()) {
    const DrawnConv2d s = set_up(p, Draw::whole, Draw::sixteenths);
    for (std::int64_t beside : {0, 3}) {
      Random random(p.seed + 1);
      Slice pixels({s.out.n, 1, 1, s.out.c}, beside, beside);
      fill(pixels.view(), random, Draw::sixteenths);
      const ConstView residual = pixels.view();
      Tensor expected(s.out), out(s.out);
      conv2d_reference(s.layer, s.inputs[0], &residual, expected.view());
      for (Isa isa : supported_isas()) {
        INFO(str_cat(p));
        CAPTURE(name_of(isa));
        run_hostile(*implicit_gemm(s.layer, isa, 1), {s.inputs[0], residual}, out.view(), 1);
        CHECK(difference(out.view(), expected.view()) == "");
      }
    }
  }
}

TEST_CASE("the residual may be the very view that the output is written to") {
  for (const Problem& p : problems_with_residual()) {
    const DrawnConv2d s = set_up(p, Draw::whole, Draw::sixteenths);
    Tensor expected(s.out);
    conv2d_reference(s.layer, s.inputs[0], &s.inputs[1], expected.view());
    for (Isa isa : supported_isas())
      for (std::int64_t beside : {0, 5})
        for (int threads : {1, 3}) {
          INFO(str_cat(p));
          CAPTURE(name_of(isa));
          Slice out(s.out, beside, beside);
          for (std::int64_t i = 0; i < s.out.pixels(); ++i)
            std::copy_n(s.inputs[1].data + i * s.inputs[1].pitch, s.out.c,
                        out.view().data + i * out.view().pitch);
          run_on_top(*implicit_gemm(s.layer, isa, 1), {s.inputs[0], out.view()}, out.view(), threads);
          CHECK(difference(out.view(), expected.view()) == "");
          CHECK(out.strangers_untouched());
        }
  }
}

TEST_CASE("a residual of a single pixel may be the output of a single pixel") {
  Problem p = square(1, 300, 33, 3);
  p.residual = true;
  const DrawnConv2d s = set_up(p, Draw::whole, Draw::sixteenths);
  Tensor expected(s.out), out(s.out);
  conv2d_reference(s.layer, s.inputs[0], &s.inputs[1], expected.view());
  for (Isa isa : supported_isas()) {
    CAPTURE(name_of(isa));
    std::copy_n(s.inputs[1].data, s.out.c, out.data());
    run_on_top(*implicit_gemm(s.layer, isa, 1), {s.inputs[0], out.view()}, out.view(), 1);
    CHECK(difference(out.view(), expected.view()) == "");
  }
}

TEST_CASE("a pixel that sees only padding gets bias, residual and activation all the same") {
  // Padding 5 round a kernel of 3: the outer rows and columns of the result see no pixel at all.
  for (std::int64_t channels : {2, 130}) {
    Problem p{.h = 4, .w = 14, .in = channels, .out = 11, .kernel_h = 3, .kernel_w = 3, .padding = 5};
    p.bias = p.residual = true;
    p.activation = ActivationKind::relu6;
    agrees_with_reference(p);
  }
}

TEST_CASE("the implicit GEMM reads and writes slices of wider tensors and touches nothing beside them") {
  for (const Named& named : named_problems()) {
    CAPTURE(named.name);
    Problem p = named.problem;
    p.bias = p.residual = true;
    p.beside_in = 3, p.beside_residual = 5, p.beside_out = 7;
    agrees_with_reference(p);
  }
}

TEST_CASE("each of input, residual and output may be a slice while the others are dense") {
  for (std::int64_t groups : {1, 2}) {
    Problem dense = square(7, 10, 38, 3, 1, 1, groups);
    dense.residual = true;
    Problem in = dense, residual = dense, out = dense;
    in.beside_in = 6, residual.beside_residual = 6, out.beside_out = 6;
    for (const Problem& p : {dense, in, residual, out}) agrees_with_reference(p, 2);
  }
}

TEST_CASE("the implicit GEMM equals the reference on random problems") {
  Random random(20240607);
  for (int i = 0; i < 800; ++i) {
    Problem p;
    p.n = pick_of(random, {1, 1, 1, 2, 3});
    p.h = pick(random, 1, 13), p.w = pick(random, 1, 21);
    p.groups = pick_of(random, {1, 1, 1, 2, 3, 5});
    p.in = p.groups * pick_of(random, {1, 2, 3, 5, 8, 17, 32, 43});
    p.out = p.groups * pick_of(random, {1, 2, 3, 7, 8, 9, 16, 21, 31, 33});
    p.kernel_h = pick_of(random, {1, 1, 2, 3, 3, 5}), p.kernel_w = pick_of(random, {1, 2, 3, 3, 5});
    p.stride = pick(random, 1, 3), p.dilation = pick_of(random, {1, 1, 1, 2, 3, 12});
    // Some padding, at least so much that the kernel fits.
    const std::int64_t short_h = p.dilation * (p.kernel_h - 1) + 1 - p.h,
                       short_w = p.dilation * (p.kernel_w - 1) + 1 - p.w;
    p.padding =
        std::max({std::int64_t{0}, (short_h + 1) / 2, (short_w + 1) / 2}) +
        pick_of(random, {std::int64_t{0}, std::int64_t{0}, std::int64_t{1}, std::int64_t{2}, p.dilation});
    p.bias = pick(random, 0, 1) == 1, p.residual = pick(random, 0, 1) == 1;
    p.activation = pick_of(random, {ActivationKind::none, ActivationKind::relu, ActivationKind::relu6});
    p.beside_in = pick_of(random, {0, 0, 1, 4}), p.beside_residual = pick_of(random, {0, 3});
    p.beside_out = pick_of(random, {0, 0, 2, 5});
    p.seed = random();
    // Now and then with threads: on a busy machine they cost more than the sums.
    if (!agrees_with_reference(p, i % 10 == 0 ? 3 : 1)) break;
  }
}

TEST_CASE("the implicit GEMM gives the same bits for any number of threads and from run to run") {
  std::vector<Problem> problems = {square(21, 40, 70, 3, 1, 2),    square(9, 300, 530, 1),
                                   square(3, 64, 600, 3),          square(25, 3, 20, 7, 2),
                                   square(12, 24, 24, 3, 1, 1, 3), square(1, 700, 90, 1)};
  problems[1].n = 3;
  for (Problem p : problems) {
    p.bias = p.residual = true;
    p.activation = ActivationKind::hardswish;
    const DrawnConv2d s = set_up(p, Draw::floats, Draw::floats);
    for (Isa isa : supported_isas()) {
      INFO(str_cat(p));
      CAPTURE(name_of(isa));
      const auto kernel = implicit_gemm(s.layer, isa, 1);
      Tensor first(s.out), again(s.out);
      run_hostile(*kernel, s.inputs, first.view(), 1);
      for (int threads : {1, 2, 3, 7, 7}) {
        CAPTURE(threads);
        const auto packed_by_threads = implicit_gemm(s.layer, isa, threads);
        run_hostile(*packed_by_threads, s.inputs, again.view(), threads);
        CHECK(same_bits(first.view(), again.view()));
      }
    }
  }
}

TEST_CASE("on random floats the implicit GEMM stays within rounding of the reference") {
  for (Problem p : {square(10, 96, 40, 3, 1, 2), square(6, 700, 24, 1)}) {
    p.bias = p.residual = true;
    const DrawnConv2d s = set_up(p, Draw::floats, Draw::floats);
    Tensor expected(s.out), out(s.out);
    conv2d_reference(s.layer, s.inputs[0], &s.inputs[1], expected.view());
    for (Isa isa : supported_isas()) {
      CAPTURE(name_of(isa));
      run_hostile(*implicit_gemm(s.layer, isa, 2), s.inputs, out.view(), 2);
      CHECK(difference(out.view(), expected.view(), 2e-5) == "");
    }
  }
}

TEST_CASE("the implicit GEMM runs inputs of any size with one packing of the weights") {
  Problem p = square(5, 12, 20, 3);
  const DrawnConv2d first = set_up(p, Draw::whole, Draw::sixteenths);
  for (Isa isa : supported_isas()) {
    CAPTURE(name_of(isa));
    const auto kernel = implicit_gemm(first.layer, isa, 1);
    CHECK(kernel->name() == "implicit_gemm");
    CHECK(kernel->packed_bytes() >= 12 * 20 * 9 * sizeof(float));
    for (std::int64_t size : {1, 2, 5, 17, 30, 5}) {
      p.h = size, p.w = size + 1;
      const DrawnConv2d s = set_up(p, Draw::whole, Draw::sixteenths);
      Tensor expected(s.out), out(s.out);
      conv2d_reference(first.layer, s.inputs[0], nullptr, expected.view());
      run_hostile(*kernel, s.inputs, out.view(), 2);
      CHECK(difference(out.view(), expected.view()) == "");
    }
  }
}

TEST_CASE("many threads may run one kernel at once, each with its own views and workspace") {
  Problem p = square(9, 70, 40, 3, 1, 2);
  p.bias = p.residual = true;
  const DrawnConv2d s = set_up(p, Draw::floats, Draw::floats);
  for (Isa isa : supported_isas()) {
    CAPTURE(name_of(isa));
    const auto kernel = implicit_gemm(s.layer, isa, 1);
    Tensor expected(s.out);
    run_hostile(*kernel, s.inputs, expected.view(), 1);
    std::vector<Tensor> outputs;
    for (int i = 0; i < 4; ++i) outputs.emplace_back(s.out);
    std::vector<std::thread> callers;
    for (Tensor& out : outputs) callers.emplace_back([&] { run_hostile(*kernel, s.inputs, out.view(), 1); });
    for (std::thread& caller : callers) caller.join();
    for (const Tensor& out : outputs) CHECK(same_bits(out.view(), expected.view()));
  }
}

TEST_CASE("the workspace depends on the number of threads and not on the map") {
  const DrawnConv2d s = set_up(square(5, 12, 20, 3), Draw::whole, Draw::whole);
  const auto kernel = implicit_gemm(s.layer, supported_isas().front(), 1);
  const Shape small[] = {{1, 5, 5, 12}}, large[] = {{4, 500, 500, 12}};
  const auto one = kernel->workspace_bytes(small, {1, 5, 5, 20}, 1);
  CHECK(one > 0);
  CHECK(kernel->workspace_bytes(small, {1, 5, 5, 20}, 3) == 3 * one);
  CHECK(kernel->workspace_bytes(large, {4, 500, 500, 20}, 1) == one);
}

}  // namespace atrous::implicit_gemm_test
