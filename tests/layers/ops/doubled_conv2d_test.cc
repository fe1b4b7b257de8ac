// A doubled map and its 3x3 convolution as one layer, and its kernel for every instruction set of this
// machine.
#include "layers/ops/doubled_conv2d.h"

#include <doctest/doctest.h>

#include "layers/cpu/conv/doubled_conv2d_phases.h"
#include "tests/support/layers_testing.h"

namespace atrous::doubled_conv2d_test {

namespace {

DoubledConv2d layer_of(std::int64_t out, std::int64_t in, Random& random, Draw draw) {
  const auto weight = drawn(9 * out * in, random, draw), bias = drawn(out, random, draw);
  return {{.weight = {out, in, 3, 3, weight}, .bias = bias, .padding = 1}};
}

Shape output_shape_of(const DoubledConv2d& layer, const Shape& in) {
  return layer.output_shape(std::span(&in, 1));
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
            Random random(1);
            DoubledConv2d layer = layer_of(outputs, channels, random, Draw::sixteenths);
            if (beside == 0) layer.conv.bias.reset();
            layer.conv.activation = beside > 0 ? ActivationKind::relu : ActivationKind::none;
            const Shape shape{n, 2 * h, 2 * w, outputs};
            Slice in({n, h, w, channels}, beside, beside), out(shape, 0, beside);
            fill(in.view(), random, Draw::whole);
            const ConstView map = in.view();
            Tensor expected(shape);
            layer.run_reference(std::span(&map, 1), expected.view());
            for (Isa isa : supported_isas()) {
              CAPTURE(name_of(isa));
              run_hostile(*make_doubled_conv2d_phases(layer, isa), {map}, out.view(), 2);
              CHECK(difference(out.view(), expected.view()) == "");
              CHECK(out.strangers_untouched());
            }
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

}  // namespace atrous::doubled_conv2d_test
