// A doubled map and its 3x3 convolution as one layer, and its two kernels for every instruction set of this
// machine.
#include "layers/ops/doubled_conv2d.h"

#include <doctest/doctest.h>

#include "layers/cpu/conv/conv2d_winograd.h"
#include "layers/cpu/conv/doubled_conv2d_phases.h"
#include "layers/cpu/cpu_backend.h"
#include "tests/support/layers_testing.h"
#include "tests/support/winograd_testing.h"

namespace atrous::doubled_conv2d_test {

namespace {

DoubledConv2d layer_of(std::int64_t out, std::int64_t in, Random& random, Draw draw) {
  const auto weight = drawn(9 * out * in, random, draw), bias = drawn(out, random, draw);
  return {{.weight = {out, in, 3, 3, weight}, .bias = bias, .padding = 1}};
}

Shape output_shape_of(const DoubledConv2d& layer, const Shape& in) {
  return layer.output_shape(std::span(&in, 1));
}

std::unique_ptr<Kernel> winograd_kernel(const DoubledConv2d& layer, Isa isa, int threads = 1) {
  return make_doubled_conv2d_winograd(std::make_shared<PackedConv2d>(layer.conv, isa, threads));
}

// The largest error of `found` as a share of the largest root of the sum of an output's squared terms, by the
// sum over taps in double precision.
double error_of(ConstView found, const DoubledConv2d& layer, ConstView in) {
  const Filter& w = layer.conv.weight;
  double worst = 0, scale = 0;
  for (std::int64_t n = 0; n < found.shape.n; ++n)
    for (std::int64_t y = 0; y < found.shape.h; ++y)
      for (std::int64_t x = 0; x < found.shape.w; ++x)
        for (std::int64_t o = 0; o < w.d0; ++o) {
          double sum = layer.conv.bias ? layer.conv.bias.get()[o] : 0.0, squares = 0;
          for (std::int64_t tap = 0; tap < 9; ++tap) {
            const std::int64_t from_y = y + tap / 3 - 1, from_x = x + tap % 3 - 1;
            if (from_y < 0 || from_y >= found.shape.h || from_x < 0 || from_x >= found.shape.w) continue;
            const float* const pixel = in.pixel(n, from_y / 2, from_x / 2);
            for (std::int64_t i = 0; i < w.d1; ++i) {
              const double term = static_cast<double>(pixel[i]) * w.data.get()[(o * w.d1 + i) * 9 + tap];
              sum += term;
              squares += term * term;
            }
          }
          const double error = std::abs(found.at(n, y, x, o) - sum);
          if (!(error <= 1e30)) return 1e30;
          worst = std::max(worst, error);
          scale = std::max(scale, std::sqrt(squares));
        }
  return worst / scale;
}

// On every instruction set, of whole numbers, with `beside` strange channels on each side of the input and
// behind the output; where there are none, without a bias, too.
template <class Make>
void equals_reference_exactly(const Shape& shape, std::int64_t outputs, ActivationKind activation,
                              std::int64_t beside, Make&& make) {
  Random random(1);
  DoubledConv2d layer = layer_of(outputs, shape.c, random, Draw::sixteenths);
  if (beside == 0) layer.conv.bias.reset();
  layer.conv.activation = activation;
  Slice in(shape, beside, beside), out(output_shape_of(layer, shape), 0, beside);
  fill(in.view(), random, Draw::whole);
  const ConstView map = in.view();
  Tensor expected(out.view().shape);
  layer.run_reference(std::span(&map, 1), expected.view());
  for (Isa isa : supported_isas()) {
    CAPTURE(name_of(isa));
    run_hostile(*make(layer, isa), {map}, out.view(), 2);
    CHECK(difference(out.view(), expected.view()) == "");
    CHECK(out.strangers_untouched());
  }
}

}  // namespace

TEST_CASE("doubled_conv2d is the sum over taps of the pixels that a map of twice the size repeats") {
  Random random(1);
  DoubledConv2d layer = layer_of(3, 2, random, Draw::whole);
  layer.conv.activation = ActivationKind::relu;
  Tensor in({2, 3, 5, 2});
  fill(in.view(), random, Draw::whole);
  const Shape shape = output_shape_of(layer, in.shape());
  CHECK(shape == Shape{2, 6, 10, 3});
  CHECK(layer.macs(std::span(&in.shape(), 1)) == 2 * 6 * 10 * 3 * 2 * 9);
  Tensor out(shape);
  const ConstView map = in.view();
  layer.run_reference(std::span(&map, 1), out.view());
  for (std::int64_t n = 0; n < 2; ++n)
    for (std::int64_t y = 0; y < 6; ++y)
      for (std::int64_t x = 0; x < 10; ++x)
        for (std::int64_t o = 0; o < 3; ++o) {
          float sum = layer.conv.bias.get()[o];
          for (std::int64_t ky = 0; ky < 3; ++ky)
            for (std::int64_t kx = 0; kx < 3; ++kx)
              for (std::int64_t i = 0; i < 2; ++i) {
                const std::int64_t from_y = y + ky - 1, from_x = x + kx - 1;
                if (from_y >= 0 && from_y < 6 && from_x >= 0 && from_x < 10)
                  sum += map.at(n, from_y / 2, from_x / 2, i) * layer.conv.weight.at(o, i, ky, kx);
              }
          CHECK(out.view().at(n, y, x, o) == std::max(0.f, sum));
        }
}

TEST_CASE("the kernel by phases equals the reference exactly at every size, from slices and into them") {
  for (const std::int64_t n : {1, 2})
    for (const std::int64_t channels : {1, 7, 32})
      for (const std::int64_t outputs : {1, 16, 21})
        for (const auto& size : {std::pair{1, 1}, {1, 2}, {2, 1}, {3, 5}, {2, 29}})
          for (const std::int64_t beside : {0, 3}) {
            CAPTURE(n);
            CAPTURE(channels);
            CAPTURE(outputs);
            const std::int64_t h = size.first, w = size.second;
            CAPTURE(h);
            CAPTURE(w);
            CAPTURE(beside);
            equals_reference_exactly({n, h, w, channels}, outputs,
                                     beside > 0 ? ActivationKind::relu : ActivationKind::none, beside,
                                     make_doubled_conv2d_phases);
          }
}

TEST_CASE(
    "the kernel by phases is within rounding of the reference, with the same bits for any number of "
    "threads") {
  Random random(1);
  const DoubledConv2d layer = layer_of(16, 32, random, Draw::floats);
  Tensor in({2, 17, 23, 32}), expected({2, 34, 46, 16}), first(expected.shape()), again(expected.shape());
  fill(in.view(), random, Draw::floats);
  const ConstView map = in.view();
  layer.run_reference(std::span(&map, 1), expected.view());
  for (Isa isa : supported_isas()) {
    CAPTURE(name_of(isa));
    const auto kernel = make_doubled_conv2d_phases(layer, isa);
    run_hostile(*kernel, {map}, first.view(), 1);
    CHECK(difference(first.view(), expected.view(), 1e-5) == "");
    for (int threads : {2, 3, 7}) {
      run_hostile(*kernel, {map}, again.view(), threads);
      CHECK(same_bits(first.view(), again.view()));
    }
  }
}

// Its constants are powers of two, so that sums of small numbers are exact.
TEST_CASE("the kernel by Winograd equals the reference exactly at every size, from slices and into them") {
  struct Case {
    std::int64_t n, channels, outputs;
  };
  for (const Case& c : {Case{1, 16, 1}, Case{2, 16, 33}, Case{2, 37, 70}, Case{1, 300, 21}, Case{1, 513, 40},
                        Case{3, 24, 257}})
    for (const auto& size : {std::pair{1, 1}, {1, 2}, {2, 1}, {3, 5}, {4, 4}, {2, 29}, {7, 8}})
      for (const ActivationKind kind : {ActivationKind::none, ActivationKind::relu, ActivationKind::relu6})
        for (const std::int64_t beside : {0, 3}) {
          CAPTURE(c.n);
          CAPTURE(c.channels);
          CAPTURE(c.outputs);
          const std::int64_t h = size.first, w = size.second;
          if (c.channels * c.outputs > 5000 && h * w > 15) continue;
          CAPTURE(h);
          CAPTURE(w);
          CAPTURE(name_of(kind));
          CAPTURE(beside);
          equals_reference_exactly(
              {c.n, h, w, c.channels}, c.outputs, kind, beside,
              [](const DoubledConv2d& layer, Isa isa) { return winograd_kernel(layer, isa); });
        }
}

TEST_CASE("the kernel by Winograd equals the reference exactly on maps of every size up to 13") {
  Random random(2);
  const DoubledConv2d layer = layer_of(5, 16, random, Draw::sixteenths);
  for (std::int64_t h = 1; h <= 13; ++h)
    for (const std::int64_t w : {h, 14 - h}) {
      CAPTURE(h);
      CAPTURE(w);
      Tensor in({1, h, w, 16}), expected({1, 2 * h, 2 * w, 5}), out(expected.shape());
      fill(in.view(), random, Draw::whole);
      const ConstView map = in.view();
      layer.run_reference(std::span(&map, 1), expected.view());
      for (Isa isa : supported_isas()) {
        run_hostile(*winograd_kernel(layer, isa), {map}, out.view(), 1);
        CHECK(difference(out.view(), expected.view()) == "");
      }
    }
}

TEST_CASE(
    "the kernel by Winograd rounds as its constants make it, with the same bits for any number of threads "
    "and any workspace") {
  struct Case {
    Shape in;
    std::int64_t outputs;
  };
  for (const Case& c : {Case{{2, 9, 13, 64}, 20}, Case{{1, 7, 6, 300}, 70}, Case{{1, 66, 61, 32}, 40}}) {
    Random random(1);
    const DoubledConv2d layer = layer_of(c.outputs, c.in.c, random, Draw::floats);
    Tensor in(c.in);
    fill(in.view(), random, Draw::floats);
    const ConstView map = in.view();
    const Shape shape = output_shape_of(layer, c.in);
    Tensor first(shape), again(shape);
    for (Isa isa : supported_isas()) {
      CAPTURE(str_cat(c.in));
      CAPTURE(name_of(isa));
      const auto kernel = winograd_kernel(layer, isa);
      run_hostile(*kernel, {map}, first.view(), 1);
      CHECK(error_of(first.view(), layer, map) < bound_of(kernel->name(), 1, c.in.c));
      for (int threads : {2, 3, 7}) {
        run_hostile(*winograd_kernel(layer, isa, threads), {map}, again.view(), threads);
        CHECK(same_bits(first.view(), again.view()));
        const std::size_t best = kernel->workspace_bytes(std::span(&c.in, 1), shape, threads),
                          least = kernel->least_workspace_bytes(std::span(&c.in, 1), shape, threads);
        REQUIRE(least <= best);
        for (const std::size_t bytes : {least, (least + best) / 128 * 64}) {
          Buffer workspace(bytes);
          std::memset(workspace.data(), 0xff, bytes);
          std::ranges::fill(again.values(), not_a_number);
          const ConstAnyView any = any_view(map);
          kernel->run({.inputs = std::span(&any, 1),
                       .output = any_view(again.view()),
                       .workspace = {workspace.data(), bytes},
                       .threads = threads});
          CHECK(same_bits(first.view(), again.view()));
        }
      }
    }
  }
}

TEST_CASE("an image of a doubled batch gets the same bits alone") {
  Random random(3);
  const DoubledConv2d layer = layer_of(40, 70, random, Draw::floats);
  Tensor in({3, 7, 10, 70}), together({3, 14, 20, 40}), alone({1, 14, 20, 40});
  fill(in.view(), random, Draw::floats);
  for (Isa isa : supported_isas()) {
    const auto kernel = winograd_kernel(layer, isa);
    run_hostile(*kernel, {in.view()}, together.view(), 2);
    for (std::int64_t n = 0; n < 3; ++n) {
      run_hostile(*kernel, {{in.view().pixel(n, 0, 0), {1, 7, 10, 70}, 70}}, alone.view(), 1);
      CHECK(same_bits(ConstView{together.view().pixel(n, 0, 0), alone.shape(), 40}, alone.view()));
    }
  }
}

TEST_CASE("of many outputs of 16 channels and more the kernel is Winograd's, of all else that by phases") {
  struct Case {
    std::int64_t channels, outputs;
    const char* kernel;
  };
  for (const Case& c :
       {Case{1, 1, "phases"}, Case{15, 32, "phases"}, Case{15, 33, "phases"}, Case{8, 100, "phases"},
        Case{16, 32, "phases"}, Case{64, 32, "phases"}, Case{64, 1, "phases"},
        Case{16, 33, "winograd_doubled"}, Case{65, 32, "winograd_doubled"}, Case{65, 1, "winograd_doubled"},
        Case{300, 70, "winograd_doubled"}}) {
    CAPTURE(c.channels);
    CAPTURE(c.outputs);
    Random random(4);
    const DoubledConv2d layer = layer_of(c.outputs, c.channels, random, Draw::sixteenths);
    Tensor in({1, 3, 4, c.channels}), expected({1, 6, 8, c.outputs}), out(expected.shape());
    fill(in.view(), random, Draw::whole);
    const ConstView map = in.view();
    layer.run_reference(std::span(&map, 1), expected.view());
    for (Isa isa : supported_isas()) {
      CAPTURE(name_of(isa));
      const bool phases = std::string_view(c.kernel) == "phases";
      CHECK((make_doubled_conv2d_phases(layer, isa) != nullptr) == phases);
      CHECK((winograd_kernel(layer, isa) != nullptr) == (c.channels >= 16));
      const auto kernels = make_cpu_kernels({"node", layer, {}, -1}, {.isa = isa});
      REQUIRE(kernels.size() == 1);
      CHECK(kernels[0]->name() == c.kernel);
      run_hostile(*kernels[0], {map}, out.view(), 1);
      CHECK(difference(out.view(), expected.view()) == "");
    }
  }
}

}  // namespace atrous::doubled_conv2d_test
