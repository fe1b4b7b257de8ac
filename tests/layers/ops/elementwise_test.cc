// Layers that look at one pixel at a time: batch norm, activations, add, mul, concat, softmax, argmax.
#include <doctest/doctest.h>

#include "layers/cpu/maps/encoding_channelwise.h"
#include "layers/ops/activation.h"
#include "layers/ops/argmax.h"
#include "layers/ops/arithmetic.h"
#include "layers/ops/batch_norm.h"
#include "layers/ops/concat.h"
#include "layers/ops/crop.h"
#include "layers/ops/encoding.h"
#include "layers/ops/softmax.h"
#include "tests/support/golden.h"
#include "tests/support/layers_testing.h"

namespace atrous::elementwise_test {

namespace {

constexpr ActivationKind all_activations[] = {ActivationKind::none,      ActivationKind::relu,
                                              ActivationKind::relu6,     ActivationKind::hardsigmoid,
                                              ActivationKind::hardswish, ActivationKind::sigmoid};

BatchNorm batch_norm_of(const Golden& g) {
  const auto &weight = g["weight"].values, &bias = g["bias"].values, &mean = g["running_mean"].values,
             &variance = g["running_var"].values;
  return make_batch_norm(static_cast<std::int64_t>(weight.size()), weight.data(), bias.data(), mean.data(),
                         variance.data(), g.number("eps"));
}

}  // namespace

TEST_CASE("batch_norm equals torch.nn.functional.batch_norm") {
  for (const Golden& g : read_goldens("batch_norm")) {
    CAPTURE(g.name);
    Tensor in = g["input"].map();
    const Tensor expected = g["output"].map();
    Tensor out(expected.shape());
    batch_norm_reference(batch_norm_of(g), in.view(), out.view());
    CHECK(difference(out.view(), expected.view(), 1e-6) == "");
  }
}

TEST_CASE("batch norm's eps is taken into account: 1e-3 is not 1e-5") {
  const float one = 1, zero = 0, variance = 1e-4f;
  CHECK(make_batch_norm(1, &one, &zero, &zero, &variance, 1e-3).scale[0] == doctest::Approx(30.1511344578));
  CHECK(make_batch_norm(1, &one, &zero, &zero, &variance, 1e-5).scale[0] == doctest::Approx(95.3462589246));
}

TEST_CASE("activations equal torch's, at their knees and far out too") {
  std::vector<std::string_view> seen;
  for (const Golden& g : read_goldens("activation")) {
    CAPTURE(g.name);
    const auto kind = std::ranges::find(all_activations, g.name, [](ActivationKind k) { return name_of(k); });
    REQUIRE(kind != std::end(all_activations));
    seen.push_back(name_of(*kind));
    Tensor in = g["input"].map();
    const Tensor expected = g["output"].map();
    Tensor out(expected.shape());
    activation_reference({*kind}, in.view(), out.view());
    CHECK(difference(out.view(), expected.view(), 1e-6) == "");
    activation_reference({*kind}, in.view(), in.view());  // out may be in
    CHECK(same_bits(in.view(), out.view()));
  }
  CHECK(seen.size() == std::size(all_activations));
}

TEST_CASE("add, mul and max equal torch's, a 1x1 map and a map of one channel being repeated by mul") {
  for (const Golden& g : read_goldens("arithmetic")) {
    CAPTURE(g.name);
    const std::string operation = g.text("operation");
    Tensor a = g["a"].map();
    const Tensor b = g["b"].map(), expected = g["output"].map();
    const auto with_layer = [&](auto&& run) {
      if (operation == "add") return run(Add{});
      return operation == "mul" ? run(Mul{}) : run(Max{});
    };
    CHECK(with_layer([&](const auto& layer) { return output_shape(layer, a.shape(), b.shape()); }) ==
          expected.shape());
    Tensor out(expected.shape());
    const auto run = [&](View to) {
      const ConstView inputs[] = {a.view(), b.view()};
      with_layer([&](const auto& layer) { layer.run_reference(inputs, to); });
    };
    run(out.view());
    CHECK(difference(out.view(), expected.view()) == "");
    run(a.view());  // out may be a
    CHECK(difference(a.view(), expected.view()) == "");
  }
}

TEST_CASE("scale multiplies every element by its factor") {
  const Tensor in = tensor_of({1, 1, 2, 3}, {1, -2, 3, 0.5f, 0, 8}),
               expected = tensor_of({1, 1, 2, 3}, {0.25f, -0.5f, 0.75f, 0.125f, 0, 2});
  Tensor out(in.shape());
  scale_reference({0.25f}, in.view(), out.view());
  CHECK(difference(out.view(), expected.view()) == "");
}

TEST_CASE("crop equals torch's slices") {
  for (const Golden& g : read_goldens("crop")) {
    CAPTURE(g.name);
    const Crop layer{g.integer("top"), g.integer("left")};
    const Tensor in = g["input"].map(), expected = g["output"].map();
    const Shape shapes[] = {in.shape(), expected.shape()};
    REQUIRE(layer.output_shape(shapes) == expected.shape());
    Tensor out(expected.shape());
    crop_reference(layer, in.view(), out.view());
    CHECK(difference(out.view(), expected.view()) == "");
  }
}

TEST_CASE("crop refuses a rectangle that leaves the map") {
  for (const Crop layer : {Crop{3, 0}, Crop{0, 2}, Crop{-1, 0}}) {
    const Shape shapes[] = {{1, 5, 4, 2}, {1, 3, 3, 9}};
    CHECK(contains(error_of(ErrorCode::invalid_argument, [&] { layer.output_shape(shapes); }),
                   str_cat("row ", layer.top, ", column ", layer.left)));
  }
}

TEST_CASE("encoding equals its definition in torch, in double") {
  for (const Golden& g : read_goldens("encoding")) {
    CAPTURE(g.name);
    const auto shared = [&](const char* key) {
      auto values = std::make_shared<std::vector<float>>(g[key].values);
      return Weights(values, values->data());
    };
    const Tensor in = g["input"].map(), expected = g["output"].map();
    const Encoding layer{.codewords = static_cast<std::int64_t>(g["smoothing"].values.size()),
                         .channels = in.shape().c,
                         .codeword = shared("codewords"),
                         .smoothing = shared("smoothing"),
                         .scale = shared("scale"),
                         .shift = shared("shift")};
    const Shape shapes[] = {in.shape()};
    REQUIRE(layer.output_shape(shapes) == expected.shape());
    Tensor out(expected.shape());
    encoding_reference(layer, in.view(), out.view());
    CHECK(difference(out.view(), expected.view(), 1e-5) == "");
    for (const Isa isa : supported_isas()) {
      CAPTURE(name_of(isa));
      run_hostile(*make_encoding_channelwise(layer, isa), {in.view()}, out.view(), 2);
      CHECK(difference(out.view(), expected.view(), 1e-5) == "");
    }
  }
}

TEST_CASE("add takes equal shapes only") {
  CHECK(contains(error_of(ErrorCode::invalid_argument,
                          [] {
                            output_shape(Add{}, {2, 3, 4, 5}, {2, 1, 1, 5});
                          }),
                 "[2, 3, 4, 5] and [2, 1, 1, 5]"));
}

TEST_CASE("add and mul refuse maps that do not fit and name both shapes") {
  const Shape a{2, 3, 4, 5};
  for (const Shape& b : {Shape{1, 3, 4, 5}, Shape{2, 2, 4, 5}, Shape{2, 3, 1, 5}, Shape{2, 1, 4, 5},
                         Shape{2, 3, 4, 2}, Shape{2, 1, 1, 1}, Shape{2, 2, 4, 1}}) {
    CAPTURE(b);
    for (const std::string& sentence :
         {error_of(ErrorCode::invalid_argument, [&] { output_shape(Add{}, a, b); }),
          error_of(ErrorCode::invalid_argument, [&] { output_shape(Mul{}, a, b); })}) {
      CHECK(contains(sentence, str_cat(a)));
      CHECK(contains(sentence, str_cat(b)));
    }
  }
}

TEST_CASE("concat equals torch.cat along the channels") {
  for (const Golden& g : read_goldens("concat")) {
    CAPTURE(g.name);
    std::vector<Tensor> parts;
    std::vector<ConstView> views;
    std::vector<Shape> shapes;
    for (std::int64_t i = 0; i < g.integer("inputs"); ++i) {
      parts.push_back(g[str_cat("input", i)].map());
      views.push_back(parts.back().view());
      shapes.push_back(parts.back().shape());
    }
    const Tensor expected = g["output"].map();
    REQUIRE(output_shape(Concat{}, shapes) == expected.shape());
    Slice out(expected.shape(), 1, 2);
    concat_reference({}, views, out.view());
    CHECK(difference(out.view(), expected.view()) == "");
    CHECK(out.strangers_untouched());
  }
}

TEST_CASE("concat refuses maps of different sizes") {
  const Shape a{1, 2, 3, 4};
  for (const Shape& b : {Shape{2, 2, 3, 4}, Shape{1, 1, 3, 4}, Shape{1, 2, 4, 4}}) {
    const Shape both[] = {a, b};
    CHECK(contains(error_of(ErrorCode::invalid_argument, [&] { output_shape(Concat{}, both); }), str_cat(b)));
  }
}

TEST_CASE("softmax equals torch.softmax, also where exp alone would overflow") {
  for (const Golden& g : read_goldens("softmax")) {
    CAPTURE(g.name);
    Tensor in = g["input"].map();
    const Tensor expected = g["output"].map();
    Tensor out(expected.shape());
    softmax_reference({}, in.view(), out.view());
    CHECK(difference(out.view(), expected.view(), 1e-6) == "");
    softmax_reference({}, in.view(), in.view());  // out may be in
    CHECK(same_bits(in.view(), out.view()));
  }
}

TEST_CASE("argmax equals torch.argmax") {
  for (const Golden& g : read_goldens("argmax")) {
    CAPTURE(g.name);
    const std::vector<float>& expected = g["labels"].values;
    std::vector<std::uint8_t> labels(expected.size());
    argmax_reference(g["input"].map().view(), labels);
    CHECK(std::ranges::equal(labels, expected));
  }
}

TEST_CASE("of equal logits the first class wins") {
  std::uint8_t label = 9;
  argmax_reference(tensor_of({1, 1, 1, 4}, {-1, 5, 5, 5}).view(), {&label, 1});
  CHECK(label == 1);
}

TEST_CASE("argmax refuses more classes than a byte can name") {
  std::uint8_t label = 0;
  CHECK(contains(error_of(ErrorCode::limit,
                          [&] {
                            argmax_reference(Tensor::zeros({1, 1, 1, 257}).view(), {&label, 1});
                          }),
                 "257"));
}

TEST_CASE("elementwise layers read and write slices of wider tensors") {
  Random random(5);
  const Shape shape{2, 3, 4, 5};
  Slice a(shape, 2, 1), b(shape, 0, 3), out(shape, 1, 1);
  fill(a.view(), random, Draw::floats);
  fill(b.view(), random, Draw::floats);
  Tensor dense_a(shape), dense_b(shape), expected(shape);
  for (std::int64_t p = 0; p < shape.pixels(); ++p) {
    std::copy_n(a.view().data + p * a.view().pitch, 5, dense_a.data() + p * 5);
    std::copy_n(b.view().data + p * b.view().pitch, 5, dense_b.data() + p * 5);
  }
  const auto check = [&](auto&& run) {
    run(a.view(), b.view(), out.view());
    run(dense_a.view(), dense_b.view(), expected.view());
    CHECK(difference(out.view(), expected.view()) == "");
    CHECK(out.strangers_untouched());
  };
  const BatchNorm norm{{1, 2, 3, 4, 5}, {5, 4, 3, 2, 1}};
  check([](ConstView l, ConstView r, View to) { add_reference({}, l, r, to); });
  check([](ConstView l, ConstView r, View to) { mul_reference({}, l, r, to); });
  check([](ConstView l, ConstView, View to) { activation_reference({ActivationKind::relu}, l, to); });
  check([](ConstView l, ConstView, View to) { softmax_reference({}, l, to); });
  check([&](ConstView l, ConstView, View to) { batch_norm_reference(norm, l, to); });
  std::vector<std::uint8_t> labels(24), dense_labels(24);
  argmax_reference(a.view(), labels);
  argmax_reference(dense_a.view(), dense_labels);
  CHECK(labels == dense_labels);
}

}  // namespace atrous::elementwise_test
