// The CPU back end's choice of an implementation.
#include "layers/cpu/backend.h"

#include <doctest/doctest.h>

#include "tests/layers_testing.h"

using namespace atrous;

namespace {

struct Sample {
  Layer layer;
  std::vector<Shape> inputs;
};

// One node of every kind of layer.
std::vector<Sample> samples() {
  Random random(1);
  const auto weight = drawn(6 * 6 * 9, random, Draw::sixteenths);
  const Shape map{2, 5, 4, 6}, small{2, 2, 2, 6}, pixel{2, 1, 1, 6};
  Conv2d conv{.weight = {6, 6, 3, 3, weight}, .bias = weight, .padding = 1};
  Conv2d fused = conv;
  fused.activation = ActivationKind::relu;
  const Conv2d pointwise{.weight = {6, 6, 1, 1, weight}, .bias = weight};
  const Conv2d depthwise{.weight = {6, 1, 3, 3, weight}, .bias = weight, .padding = 1, .groups = 6};
  return {{conv, {map}},
          {depthwise, {map}},
          {depthwise, {map, map}},
          {pointwise, {map}},
          {pointwise, {map, map}},
          {fused, {map, map}},
          {ConvTranspose2d{.weight = {6, 6, 3, 3, weight}, .bias = nullptr, .stride = 2}, {map}},
          {BatchNorm{{1, 2, 3, 4, 5, 6}, {6, 5, 4, 3, 2, 1}}, {map}},
          {Activation{ActivationKind::hardswish}, {map}},
          {MaxPool2d{3, 2, 1}, {map}},
          {AdaptiveAvgPool2d{1, 1}, {map}},
          {Resize{}, {small, map}},
          {Concat{}, {map, map, map}},
          {Add{}, {map, map}},
          {Mul{}, {map, pixel}},
          {Softmax{}, {map}},
          {ExpandDepthwise{pointwise, depthwise}, {map}},
          {GatedConv2d{pointwise}, {map, pixel}},
          {GatedConv2d{pointwise}, {map, pixel, map}}};
}

// Whether one of the specialised kernels is made for a layer; the others take everything.
bool accepts(const Layer& layer, std::string_view implementation) {
  const auto* conv = std::get_if<Conv2d>(&layer);
  if (implementation == "depthwise") return conv->groups == conv->out_channels();
  if (implementation == "pointwise") return !conv || conv->weight.kernel_h == 1;
  if (implementation == "few_channels") return conv->in_channels() <= 4;
  return true;
}

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
        const auto kernel = make_cpu_kernel({"node", s.layer, {}, -1},
                                            {.isa = isa, .force = std::string(name), .threads = 2});
        REQUIRE(kernel);
        if (accepts(s.layer, name))
          CHECK(kernel->name() == name);
        else
          CHECK(kernel->name() != name);
        run_hostile(*kernel, inputs, found.view(), 2);
        CHECK(difference(found.view(), expected.view(), 1e-6) == "");
      }
}

TEST_CASE(
    "the first implementation that accepts is chosen when none is forced or the forced one is no such") {
  for (const Sample& s : samples()) {
    CAPTURE(name_of(s.layer));
    const Node node{"node", s.layer, {}, -1};
    const auto names = cpu_implementations(s.layer);
    const auto first = std::ranges::find_if(names, [&](auto name) { return accepts(s.layer, name); });
    REQUIRE(first != names.end());
    CHECK(make_cpu_kernel(node, {})->name() == *first);
    CHECK(make_cpu_kernel(node, {.force = "of another layer"})->name() == *first);
  }
  const auto names = cpu_implementations(Layer(Conv2d{}));
  CHECK(names.at(0) == "depthwise");
  CHECK(names.at(1) == "pointwise");
  CHECK(names.at(2) == "few_channels");
  CHECK(names.at(3) == "implicit_gemm");
}

TEST_CASE("a kernel outlives the node it was made from") {
  for (std::string_view name : cpu_implementations(Layer(Conv2d{}))) {
    CAPTURE(name);
    auto node = std::make_unique<Node>(Node{"conv", samples()[0].layer, {}, -1});
    const auto kernel = make_cpu_kernel(*node, {.force = std::string(name)});
    Random random(3);
    Tensor in({1, 3, 3, 6}), out({1, 3, 3, 6}), expected({1, 3, 3, 6});
    fill(in.view(), random, Draw::whole);
    const ConstView inputs[] = {in.view()};
    run_reference(node->layer, inputs, expected.view());
    node.reset();
    run_hostile(*kernel, {in.view()}, out.view(), 1);
    CHECK(difference(out.view(), expected.view()) == "");
    CHECK(kernel->packed_bytes() >= 6 * 6 * 9 * sizeof(float));
  }
}
