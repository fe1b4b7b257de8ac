// The CPU back end's choice of an implementation.
#include "layers/cpu/cpu_backend.h"

#include <doctest/doctest.h>

#include "tests/support/layers_testing.h"

namespace atrous::cpu_backend_test {

namespace {

struct Sample {
  Layer layer;
  std::vector<Shape> inputs;
};

// One node of every kind of layer.
std::vector<Sample> samples() {
  Random random(1);
  const auto weight = drawn(16 * 40 * 9, random, Draw::sixteenths);
  const Shape map{2, 5, 4, 6}, wide{2, 5, 4, 16}, small{2, 2, 2, 6}, pixel{2, 1, 1, 6};
  Conv2d conv{.weight = {6, 16, 3, 3, weight}, .bias = weight, .padding = 1};
  Conv2d fused = conv;
  fused.activation = ActivationKind::relu;
  Conv2d halving = conv;
  halving.stride = 2;
  const Conv2d of_many{.weight = {40, 16, 3, 3, weight}, .bias = weight, .padding = 1};
  const Conv2d pointwise{.weight = {6, 6, 1, 1, weight}, .bias = weight};
  const Conv2d depthwise{.weight = {6, 1, 3, 3, weight}, .bias = weight, .padding = 1, .groups = 6};
  return {{conv, {wide}},
          {halving, {wide}},
          {halving, {wide, {2, 3, 2, 6}}},
          {depthwise, {map}},
          {depthwise, {map, map}},
          {pointwise, {map}},
          {pointwise, {map, map}},
          {depthwise, {map, pixel}},
          {pointwise, {map, pixel}},
          {fused, {wide, pixel}},
          {fused, {wide, map}},
          {ConvTranspose2d{.weight = {6, 6, 3, 3, weight}, .bias = nullptr, .stride = 2}, {map}},
          {BatchNorm{{1, 2, 3, 4, 5, 6}, {6, 5, 4, 3, 2, 1}}, {map}},
          {Activation{ActivationKind::hardswish}, {map}},
          {ConvTranspose2d{.weight = {6, 1, 4, 4, weight}, .bias = weight, .stride = 2, .groups = 6}, {map}},
          {Crop{1, 2}, {map, small}},
          {MaxUnpool2d{2}, {small, map}},
          {L2Norm{.channels = 6, .weight = weight}, {map}},
          {ConvTranspose2d{.weight = {6, 6, 3, 3, weight}, .bias = nullptr}, {map}},
          {Max{}, {map, map}},
          {Scale{0.25f}, {map}},
          {Mul{}, {map, {2, 5, 4, 1}}},
          {Encoding{.codewords = 3,
                    .channels = 6,
                    .codeword = weight,
                    .smoothing = weight,
                    .scale = weight,
                    .shift = weight},
           {map}},
          {MaxPool2d{3, 2, 1, true}, {map}},
          {Resize{.factor = 2}, {map}},
          {MaxPool2d{3, 2, 1}, {map}},
          {AdaptiveAvgPool2d{1, 1}, {map}},
          {Resize{}, {small, map}},
          {Concat{}, {map, map, map}},
          {Add{}, {map, map}},
          {Mul{}, {map, pixel}},
          {Softmax{}, {map}},
          {GroupNorm{.channels = 6, .groups = 2, .weight = weight, .bias = weight}, {map}},
          {PositionAttention{}, {map, map, map}},
          {ExpandDepthwise{pointwise, depthwise}, {map}},
          {GatedConv2d{pointwise}, {map, pixel}},
          {GatedConv2d{pointwise}, {map, pixel, map}},
          {GatedConv2d{pointwise}, {map, pixel, pixel}},
          {DoubledConv2d{conv}, {wide}},
          {DoubledConv2d{of_many}, {wide}}};
}

// Whether one of the specialised kernels is made for a layer; the others take everything.
bool accepts(const Layer& layer, std::string_view implementation) {
  const auto* conv = std::get_if<Conv2d>(&layer);
  if (const auto* transposed = std::get_if<ConvTranspose2d>(&layer)) {
    const bool grouped = transposed->groups > 1;
    if (implementation == "columns")
      return !grouped && transposed->stride == 1 && transposed->dilation == 1 &&
             2 * transposed->padding < transposed->weight.kernel_h - 1;
    return implementation == "depthwise" ? grouped : implementation == "subpixel" ? !grouped : true;
  }
  if (const auto* doubled = std::get_if<DoubledConv2d>(&layer))  // of 16 channels and at most 64
    return implementation == "phases" ? doubled->conv.out_channels() <= 32 : true;
  if (implementation == "depthwise") return conv->groups == conv->out_channels();
  if (implementation == "pointwise") return !conv || conv->weight.kernel_h == 1;
  if (implementation == "few_channels") return conv->in_channels() <= 4;
  if (implementation == "few_outputs")
    return conv->out_channels() <= 32 && conv->in_channels() <= 64 && conv->groups == 1 &&
           conv->dilation == 1 && conv->weight.kernel_h * conv->weight.kernel_w > 1;
  if (implementation == "tap_sums")
    return conv->out_channels() <= 4 && conv->groups == 1 && conv->dilation == 1 && conv->stride == 1 &&
           conv->weight.kernel_h * conv->weight.kernel_w > 1;
  if (implementation.starts_with("winograd"))
    return conv->in_channels() >= 16 && conv->weight.kernel_h == 3 &&
           (conv->stride == 1 || implementation == "winograd_3x3");
  return true;
}

// How far an implementation may be from the reference: Winograd's transforms round, all others compute the
// very same sums.
double rounding(std::string_view name) { return name.starts_with("winograd") ? 1e-4 : 1e-6; }

}  // namespace

TEST_CASE("every list of implementations ends in the reference") {
  for (const Sample& s : samples()) {
    CAPTURE(name_of(s.layer));
    const auto names = cpu_implementations(s.layer);
    REQUIRE(!names.empty());
    CHECK(names.back() == "reference");
    CHECK(std::ranges::count(names, "reference") == 1);
    for (std::string_view name : names) CHECK(std::ranges::count(cpu_implementations(), name) == 1);
  }
}

TEST_CASE("every implementation of every layer computes what the reference computes, forced by its name") {
  for (const Sample& s : samples())
    for (Isa isa : supported_isas())
      for (std::string_view name : cpu_implementations(s.layer)) {
        CAPTURE(name_of(s.layer));
        CAPTURE(name_of(isa));
        CAPTURE(name);
        Random random(3);
        std::vector<Tensor> owners;
        std::vector<ConstView> inputs;
        for (const Shape& shape : s.inputs) {
          owners.emplace_back(shape);
          fill(owners.back().view(), random, Draw::whole);
          inputs.push_back(owners.back().view());
        }
        const Shape out = output_shape(s.layer, s.inputs);
        Tensor expected(out), found(out);
        run_reference(s.layer, inputs, expected.view());
        const auto kernels = make_cpu_kernels({"node", s.layer, {}, -1},
                                              {.isa = isa, .force = std::string(name), .threads = 2});
        if (accepts(s.layer, name)) {
          REQUIRE(kernels.size() == 1);
          CHECK(kernels.front()->name() == name);
        }
        for (const auto& kernel : kernels) {
          CAPTURE(kernel->name());
          CHECK((kernel->name() == name) == accepts(s.layer, name));
          run_hostile(*kernel, inputs, found.view(), 2);
          CHECK(difference(found.view(), expected.view(), rounding(kernel->name())) == "");
        }
      }
}

TEST_CASE("an ungrouped convolution may write over its residual, even one of a single channel") {
  Random random(4);
  const auto weight = drawn(9, random, Draw::whole);
  const Conv2d layer{.weight = {1, 1, 3, 3, weight}, .bias = nullptr, .padding = 1};
  const Shape map{1, 7, 21, 1};
  Tensor in(map), residual(map), expected(map);
  fill(in.view(), random, Draw::whole);
  fill(residual.view(), random, Draw::whole);
  run_reference(layer, std::vector<ConstView>{in.view(), residual.view()}, expected.view());
  for (Isa isa : supported_isas())
    for (std::string_view name : cpu_implementations(Layer(layer))) {
      CAPTURE(name_of(isa));
      CAPTURE(name);
      for (const auto& kernel :
           make_cpu_kernels({"node", layer, {}, -1}, {.isa = isa, .force = std::string(name)})) {
        CAPTURE(kernel->name());
        Tensor out(map);
        std::copy_n(residual.view().data, map.pixels(), out.view().data);
        run_on_top(*kernel, std::vector<ConstView>{in.view(), out.view()}, out.view(), 1);
        CHECK(difference(out.view(), expected.view(), rounding(kernel->name())) == "");
      }
    }
}

TEST_CASE(
    "all that accept a layer are made, in the order of the list, the reference only where it must be, and "
    "eigen only when asked for") {
  for (const Sample& s : samples()) {
    CAPTURE(name_of(s.layer));
    std::vector<std::string_view> expected;
    for (std::string_view name : cpu_implementations(s.layer))
      if (accepts(s.layer, name) && name != "eigen" && (name != "reference" || expected.empty())) {
        expected.push_back(name);
        if (name == "depthwise" || name == "pointwise" || name == "few_channels" || name == "columns" ||
            name == "phases")
          break;  // win alone
      }
    const Node node{"node", s.layer, {}, -1};
    for (std::string force : {"", "of another layer"}) {
      const auto kernels = make_cpu_kernels(node, {.force = force});
      REQUIRE(kernels.size() == expected.size());
      for (std::size_t i = 0; i < expected.size(); ++i) CHECK(kernels[i]->name() == expected[i]);
    }
  }
}

TEST_CASE("a kernel outlives the node it was made from, and those of one node share its weights") {
  for (std::string_view name : cpu_implementations(Layer(Conv2d{}))) {
    CAPTURE(name);
    auto node = std::make_unique<Node>(Node{"conv", samples()[0].layer, {}, -1});
    const auto kernels = make_cpu_kernels(*node, {.force = std::string(name)});
    Random random(3);
    Tensor in({1, 3, 3, 16}), out({1, 3, 3, 6}), expected({1, 3, 3, 6});
    fill(in.view(), random, Draw::whole);
    run_reference(node->layer, std::vector<ConstView>{in.view()}, expected.view());
    node.reset();
    run_hostile(*kernels.front(), {in.view()}, out.view(), 1);
    CHECK(difference(out.view(), expected.view(), rounding(name)) == "");
    CHECK(kernels.front()->packed_bytes() >= 6 * 16 * 9 * sizeof(float));
  }
}

}  // namespace atrous::cpu_backend_test
