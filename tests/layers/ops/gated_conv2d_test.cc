// Gate and 1x1 convolution as one layer, and its kernel for every instruction set of this machine.
#include "layers/ops/gated_conv2d.h"

#include <doctest/doctest.h>

#include "layers/cpu/conv/conv2d_pointwise.h"
#include "layers/ops/arithmetic.h"
#include "tests/support/layers_testing.h"

namespace atrous::gated_conv2d_test {

namespace {

GatedConv2d layer_of(std::int64_t out, std::int64_t in, Random& random, Draw draw) {
  const auto weight = drawn(out * in, random, draw), bias = drawn(out, random, draw);
  return {{.weight = {out, in, 1, 1, weight}, .bias = bias}};
}

}  // namespace

TEST_CASE("gated_conv2d multiplies each image's channels by its gate and convolves") {
  Random random(1);
  GatedConv2d layer = layer_of(7, 5, random, Draw::whole);
  layer.conv.activation = ActivationKind::relu;
  Tensor in({2, 3, 4, 5}), gate({2, 1, 1, 5}), residual({2, 3, 4, 7}), gated(in.shape()),
      expected(residual.shape()), out(residual.shape());
  for (Tensor* t : {&in, &gate, &residual}) fill(t->view(), random, Draw::whole);
  const ConstView added = residual.view();
  mul_reference({}, in.view(), gate.view(), gated.view());
  for (const ConstView* r : {static_cast<const ConstView*>(nullptr), &added}) {
    conv2d_reference(layer.conv, gated.view(), r, expected.view());
    gated_conv2d_reference(layer, in.view(), gate.view(), r, out.view());
    CHECK(difference(out.view(), expected.view()) == "");
  }
  CHECK(output_shape(layer, in.shape(), gate.shape()) == out.shape());
  CHECK(macs(layer, in.shape()) == 2 * 3 * 4 * 5 * 7);
}

TEST_CASE("gated_conv2d refuses a gate that is not one number per image and channel") {
  Random random(1);
  const GatedConv2d layer = layer_of(7, 5, random, Draw::whole);
  for (const Shape& gate : {Shape{1, 1, 1, 5}, Shape{2, 3, 4, 5}, Shape{2, 1, 1, 1}, Shape{2, 1, 4, 5}})
    CHECK(contains(error_of(ErrorCode::invalid_argument,
                            [&] {
                              output_shape(layer, {2, 3, 4, 5}, gate);
                            }),
                   str_cat(gate)));
}

TEST_CASE(
    "the gated pointwise kernel equals the reference exactly, with residuals and slices, for every batch") {
  for (std::int64_t n : {1, 2, 3})
    for (std::int64_t out_channels : {3, 16, 24, 41})
      for (std::int64_t w : {1, 6, 30})
        for (bool has_residual : {false, true})
          for (std::int64_t beside : {0, 3}) {
            CAPTURE(n);
            CAPTURE(out_channels);
            CAPTURE(w);
            CAPTURE(beside);
            Random random(1);
            const GatedConv2d layer = layer_of(out_channels, 19, random, Draw::sixteenths);
            const Shape out_shape{n, 2, w, out_channels};
            Slice in({n, 2, w, 19}, beside, beside), gate({n, 1, 1, 19}, beside, 2 * beside),
                residual(out_shape, beside, 0), out(out_shape, 0, beside);
            for (Slice* s : {&in, &gate, &residual}) fill(s->view(), random, Draw::whole);
            std::vector<ConstView> inputs{in.view(), gate.view()};
            if (has_residual) inputs.push_back(residual.view());
            Tensor expected(out_shape);
            gated_conv2d_reference(layer, inputs[0], inputs[1], has_residual ? &inputs[2] : nullptr,
                                   expected.view());
            for (Isa isa : supported_isas()) {
              CAPTURE(name_of(isa));
              run_hostile(*make_gated_conv2d_pointwise(layer, isa), inputs, out.view(), 2);
              CHECK(difference(out.view(), expected.view()) == "");
              CHECK(out.strangers_untouched());
            }
          }
}

TEST_CASE("the gated pointwise kernel gives the same bits for any number of threads") {
  Random random(1);
  const GatedConv2d layer = layer_of(40, 120, random, Draw::floats);
  Tensor in({2, 33, 21, 120}), gate({2, 1, 1, 120}), first({2, 33, 21, 40}), again({2, 33, 21, 40});
  for (Tensor* t : {&in, &gate}) fill(t->view(), random, Draw::floats);
  for (Isa isa : supported_isas()) {
    CAPTURE(name_of(isa));
    const auto kernel = make_gated_conv2d_pointwise(layer, isa);
    run_hostile(*kernel, {in.view(), gate.view()}, first.view(), 1);
    for (int threads : {1, 2, 3, 7}) {
      run_hostile(*kernel, {in.view(), gate.view()}, again.view(), threads);
      CHECK(same_bits(first.view(), again.view()));
    }
  }
}

}  // namespace atrous::gated_conv2d_test
