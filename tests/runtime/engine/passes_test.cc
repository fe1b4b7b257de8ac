#include "runtime/engine/passes.h"

#include <doctest/doctest.h>

#include <set>

#include "layers/networks/segmentation.h"
#include "tests/support/passes_testing.h"

namespace atrous::passes_test {

using namespace atrous::passes_testing;

TEST_CASE("a batch norm behind a convolution folds into its weights") {
  for (const bool bias : {false, true}) {
    CAPTURE(bias);
    Graph g = chain({{"conv", conv(4, 4, 3, 1, bias), {0}}, {"norm", norm(4), {1}}}, {2});
    transform(g, fold_batch_norm, 1e-5);
    CHECK(names(g) == Names{"conv"});
    CHECK(g.nodes[0].output == g.outputs[0].second);
  }
}

TEST_CASE(
    "a transposed convolution that keeps or shrinks its map becomes an ordinary one, with the same result") {
  struct Case {
    std::int64_t kernel, padding, dilation;
  };
  for (const Case& c : {Case{3, 1, 1}, Case{1, 0, 1}, Case{3, 2, 1}, Case{5, 2, 1}, Case{3, 3, 2}}) {
    ConvTranspose2d layer;
    layer.weight = {4, 4, c.kernel, c.kernel, drawn(16 * c.kernel * c.kernel, 3)};
    layer.bias = drawn(4, 4);
    layer.padding = c.padding;
    layer.dilation = c.dilation;
    Graph g = chain({{"deconv", layer, {0}}, {"norm", norm(4), {1}}}, {2});
    transform(g, convolve_transposed, 1e-5);
    CHECK(std::holds_alternative<Conv2d>(g.nodes.at(0).layer));
    transform(g, fold_batch_norm, 1e-5);
    CHECK(names(g) == Names{"deconv"});
  }
}

TEST_CASE("a transposed convolution that makes its map larger stays one") {
  ConvTranspose2d layer{.weight = {4, 4, 3, 3, drawn(144, 3)}, .bias = nullptr};
  SUBCASE("unpadded") {}
  SUBCASE("strided") {
    layer.stride = 2;
    layer.padding = 1;
  }
  SUBCASE("grouped") {
    layer.weight.d1 = 2;
    layer.groups = 2;
    layer.padding = 1;
  }
  Graph g = chain({{"deconv", layer, {0}}}, {1});
  transform(g, convolve_transposed);
  CHECK(std::holds_alternative<ConvTranspose2d>(g.nodes.at(0).layer));
}

TEST_CASE("folding multiplies each output channel's weights by its scale and shifts its bias") {
  const Conv2d before = conv(4, 4, 3, 1, true);
  const BatchNorm by = norm(4);
  Graph g = chain({{"conv", before, {0}}, {"norm", by, {1}}}, {2});
  fold_batch_norm(g);
  const auto& after = std::get<Conv2d>(g.nodes.at(0).layer);
  CHECK(after.weight.at(3, 2, 1, 0) == static_cast<float>(before.weight.at(3, 2, 1, 0) * by.scale[3]));
  CHECK(after.bias.get()[2] == static_cast<float>(before.bias.get()[2] * by.scale[2] + by.shift[2]));
}

TEST_CASE("folding leaves the state dict's own weights alone") {
  const Conv2d shared = conv(4, 4, 1, 1);
  const float first = shared.weight.at(0, 0, 0, 0);
  Graph g = chain({{"conv", shared, {0}}, {"norm", norm(4), {1}}}, {2});
  fold_batch_norm(g);
  CHECK(shared.weight.at(0, 0, 0, 0) == first);
}

TEST_CASE("a batch norm stays where something else reads the convolution") {
  SUBCASE("another node") {
    Graph g =
        chain({{"conv", conv(4, 4, 3, 1), {0}}, {"norm", norm(4), {1}}, {"relu", relu_layer, {1}}}, {2, 3});
    transform(g, fold_batch_norm);
    CHECK(names(g) == Names{"conv", "norm", "relu"});
  }
  SUBCASE("the graph's output") {
    Graph g = chain({{"conv", conv(4, 4, 3, 1), {0}}, {"norm", norm(4), {1}}}, {1, 2});
    transform(g, fold_batch_norm);
    CHECK(names(g) == Names{"conv", "norm"});
  }
}

TEST_CASE("a batch norm behind anything but a bare convolution stays") {
  Conv2d activated = conv(4, 4, 3, 1);
  activated.activation = ActivationKind::relu;
  Graph g = chain({{"norm0", norm(4), {0}},
                   {"conv", activated, {1}},
                   {"norm1", norm(4), {2}},
                   {"relu", relu_layer, {3}},
                   {"norm2", norm(4), {4}}},
                  {5});
  transform(g, fold_batch_norm);
  CHECK(names(g) == Names{"norm0", "conv", "norm1", "relu", "norm2"});
}

namespace {

const Names unchanged{"map", "pool", "conv", "relu", "repeat", "concat", "project"};

}  // namespace

TEST_CASE("a pixel repeated over a map is convolved once per image and added as a residual") {
  for (const bool bias : {false, true}) {
    CAPTURE(bias);
    Graph g = pooling(conv(4, 8, 1, 3, bias));
    transform(g, hoist_repeated_pixel, 1e-5);
    CHECK(names(g) == Names{"map", "pool", "conv", "relu", "project.pixel", "concat", "project"});
    CHECK(g.nodes[4].inputs == std::vector<ValueId>{4});
    CHECK(g.nodes[5].inputs == std::vector<ValueId>{1});
    CHECK(g.nodes[6].inputs == std::vector<ValueId>{6, 5});
    CHECK(g.values[6].channels == 4);
    CHECK(std::get<Conv2d>(g.nodes[4].layer).in_channels() == 4);
    CHECK(std::get<Conv2d>(g.nodes[6].layer).in_channels() == 4);
    CHECK((std::get<Conv2d>(g.nodes[6].layer).bias != nullptr) == bias);
    CHECK(std::get<Conv2d>(g.nodes[4].layer).bias == nullptr);
  }
}

TEST_CASE("the repeated pixel may be any of the concatenated values") {
  for (const std::vector<ValueId>& order :
       {std::vector<ValueId>{5, 1, 6}, std::vector<ValueId>{1, 5, 6}, std::vector<ValueId>{1, 6, 5}}) {
    Graph g = chain({{"map", conv(4, 4, 3, 1), {0}},
                     {"pool", AdaptiveAvgPool2d{1, 1}, {0}},
                     {"norm", norm(4), {2}},
                     {"conv", conv(4, 4, 1, 2), {3}},
                     {"repeat", Resize{}, {4, 1}},
                     {"other", conv(4, 4, 1, 4), {0}},
                     {"concat", Concat{}, order},
                     {"project", conv(4, 12, 1, 3), {7}}},
                    {8});
    g.values[7].channels = 12;
    transform(g, hoist_repeated_pixel, 1e-5);
    CHECK(g.nodes[4].name == "project.pixel");
    CHECK(g.nodes[6].inputs.size() == 2);
    CHECK(g.nodes[7].inputs == std::vector<ValueId>{7, 5});
  }
}

TEST_CASE("of two repeated pixels one becomes the residual, the other stays concatenated") {
  Graph g = chain({{"pool", AdaptiveAvgPool2d{1, 1}, {0}},
                   {"repeat1", Resize{}, {1, 0}},
                   {"conv", conv(4, 4, 1, 1), {1}},
                   {"repeat2", Resize{}, {3, 0}},
                   {"concat", Concat{}, {2, 4}},
                   {"project", conv(4, 8, 1, 3), {5}}},
                  {6});
  g.values[5].channels = 8;
  transform(g, hoist_repeated_pixel, 1e-5);
  CHECK(names(g) == Names{"pool", "project.pixel", "conv", "repeat2", "concat", "project"});
}

TEST_CASE("a repeated pixel stays where the projection sees more than a pixel or has more to add") {
  SUBCASE("3x3") {
    Graph g = pooling(conv(4, 8, 3, 3));
    transform(g, hoist_repeated_pixel);
    CHECK(names(g) == unchanged);
  }
  SUBCASE("strided") {
    Conv2d strided = conv(4, 8, 1, 3);
    strided.stride = 2;
    Graph g = pooling(strided);
    transform(g, hoist_repeated_pixel);
    CHECK(names(g) == unchanged);
  }
  SUBCASE("grouped") {
    Conv2d grouped = conv(4, 4, 1, 3);
    grouped.groups = 2;
    Graph g = pooling(grouped);
    transform(g, hoist_repeated_pixel);
    CHECK(names(g) == unchanged);
  }
  SUBCASE("activated") {
    Conv2d activated = conv(4, 8, 1, 3);
    activated.activation = ActivationKind::relu6;
    Graph g = pooling(activated);
    transform(g, hoist_repeated_pixel);
    CHECK(names(g) == unchanged);
  }
  SUBCASE("with a residual") {
    Graph g = pooling(conv(4, 8, 1, 3));
    g.nodes[6].inputs.push_back(1);
    transform(g, hoist_repeated_pixel);
    CHECK(names(g) == unchanged);
  }
}

TEST_CASE(
    "a repeated pixel stays where something else reads it or the concatenation, and more pixels always") {
  SUBCASE("the pixel") {
    Graph g = pooling(conv(4, 8, 1, 3));
    g.outputs.emplace_back("repeated", 5);
    transform(g, hoist_repeated_pixel);
    CHECK(names(g) == unchanged);
  }
  SUBCASE("the concatenation") {
    Graph g = pooling(conv(4, 8, 1, 3));
    g.outputs.emplace_back("concatenated", 6);
    transform(g, hoist_repeated_pixel);
    CHECK(names(g) == unchanged);
  }
  SUBCASE("2x2 pixels") {
    Graph g = pooling(conv(4, 8, 1, 3), {2, 2});
    transform(g, hoist_repeated_pixel);
    CHECK(names(g) == unchanged);
  }
  SUBCASE("a map of any size") {
    Graph g = pooling(conv(4, 8, 1, 3));
    g.nodes[1].layer = conv(4, 4, 3, 5);
    transform(g, hoist_repeated_pixel);
    CHECK(names(g) == Names{"map", "pool", "conv", "relu", "repeat", "concat", "project"});
  }
}

TEST_CASE(
    "the pixel's convolution takes the folded batch norm's scale, the projection its shift and the "
    "activation") {
  Graph g = pooling(conv(4, 8, 1, 3));
  g.nodes.push_back({"norm", norm(4), {7}, 8});
  g.nodes.push_back({"swish", Activation{ActivationKind::hardswish}, {8}, 9});
  g.values.resize(10, {4});
  g.outputs[0].second = 9;
  transform(g, optimise, 1e-5);
  CHECK(names(g) == Names{"map", "pool", "conv", "project.pixel", "concat", "project"});
  CHECK(std::get<Conv2d>(g.nodes[5].layer).activation == ActivationKind::hardswish);
}

TEST_CASE("a sum becomes the residual of the convolution that runs later") {
  for (const bool swapped : {false, true}) {
    CAPTURE(swapped);
    const std::vector<ValueId> terms = swapped ? std::vector<ValueId>{2, 1} : std::vector<ValueId>{1, 2};
    Graph g = chain(
        {{"early", conv(4, 4, 1, 1), {0}}, {"late", conv(4, 4, 3, 2), {0}}, {"add", Add{}, terms}}, {3});
    transform(g, fuse_residual, 1e-6);
    CHECK(names(g) == Names{"early", "late"});
    CHECK(g.nodes[1].inputs == std::vector<ValueId>{0, 1});
    CHECK(g.nodes[1].output == 3);
  }
}

TEST_CASE("the graph's input can be the residual") {
  Graph g = chain({{"conv", conv(4, 4, 3, 1), {0}}, {"add", Add{}, {0, 1}}}, {2});
  transform(g, fuse_residual, 1e-6);
  CHECK(names(g) == Names{"conv"});
  CHECK(g.nodes[0].inputs == std::vector<ValueId>{0, 0});
}

TEST_CASE("a sum stays where the later term is read elsewhere, is no convolution or has its activation") {
  SUBCASE("read elsewhere") {
    Graph g = chain(
        {{"early", conv(4, 4, 1, 1), {0}}, {"late", conv(4, 4, 3, 2), {0}}, {"add", Add{}, {1, 2}}}, {3, 2});
    transform(g, fuse_residual);
    CHECK(names(g) == Names{"early", "late", "add"});
  }
  SUBCASE("no convolution") {
    Graph g =
        chain({{"conv", conv(4, 4, 1, 1), {0}}, {"relu", relu_layer, {0}}, {"add", Add{}, {1, 2}}}, {3});
    transform(g, fuse_residual);
    CHECK(names(g) == Names{"conv", "relu", "add"});
  }
  SUBCASE("activated") {
    Graph g =
        chain({{"conv", conv(4, 4, 1, 1), {0}}, {"relu", relu_layer, {1}}, {"add", Add{}, {0, 2}}}, {3});
    transform(g, fuse_activation);
    transform(g, fuse_residual);
    CHECK(names(g) == Names{"conv", "add"});
  }
  SUBCASE("the same value twice") {
    Graph g = chain({{"conv", conv(4, 4, 1, 1), {0}}, {"add", Add{}, {1, 1}}}, {2});
    transform(g, fuse_residual);
    CHECK(names(g) == Names{"conv", "add"});
  }
}

TEST_CASE("a convolution takes one residual, a second sum stays") {
  Graph g = chain({{"conv", conv(4, 4, 1, 1), {0}}, {"add1", Add{}, {1, 0}}, {"add2", Add{}, {2, 0}}}, {3});
  transform(g, fuse_residual, 1e-6);
  CHECK(names(g) == Names{"conv", "add2"});
}

TEST_CASE("an activation becomes the convolution's own, behind its residual") {
  Graph g = chain({{"conv", conv(4, 4, 3, 1), {0}},
                   {"add", Add{}, {1, 0}},
                   {"swish", Activation{ActivationKind::hardswish}, {2}}},
                  {3});
  transform(g, fuse_residual, 1e-6);
  transform(g, fuse_activation, 1e-6);
  CHECK(names(g) == Names{"conv"});
  CHECK(std::get<Conv2d>(g.nodes[0].layer).activation == ActivationKind::hardswish);
}

TEST_CASE("an activation stays where something else reads the convolution, and a second one always") {
  Graph g = chain({{"conv", conv(4, 4, 3, 1), {0}}, {"relu", relu_layer, {1}}}, {1, 2});
  transform(g, fuse_activation);
  CHECK(names(g) == Names{"conv", "relu"});

  Graph twice = chain({{"conv", conv(4, 4, 3, 1), {0}},
                       {"relu", relu_layer, {1}},
                       {"sigmoid", Activation{ActivationKind::sigmoid}, {2}}},
                      {3});
  transform(twice, fuse_activation);
  CHECK(names(twice) == Names{"conv", "sigmoid"});
}

namespace {

const Resize bilinear{.mode = ResizeMode::bilinear, .align_corners = false};

}  // namespace

TEST_CASE("a 1x1 convolution to fewer channels runs before a bilinear resize, biases and all") {
  Graph g = small_map_first({{"grow", bilinear, {2, 0}}, {"classify", conv(3, 8, 1, 7, true), {3}}}, {4});
  transform(g, classify_before_resize, 1e-6);
  CHECK(names(g) == Names{"halve", "widen", "classify", "grow"});
  CHECK(g.nodes[3].inputs[1] == 0);  // still grows to the input's size
  CHECK(g.values[static_cast<std::size_t>(g.nodes[2].output)].channels == 3);
  for (bool align : {false, true}) {
    Graph aligned = small_map_first({{"grow", Resize{ResizeMode::bilinear, align}, {2, 0}},
                                     {"classify", conv(3, 8, 1, 7), {3}},
                                     {"relu", relu_layer, {4}}},
                                    {5});
    transform(aligned, optimise, 1e-6);
    CHECK(names(aligned) == Names{"halve", "widen", "classify", "grow", "relu"});
  }
}

TEST_CASE("a convolution stays behind a resize where changing places would not do or not pay") {
  const auto stays = [](std::vector<Node> rest, std::vector<ValueId> outputs) {
    Graph g = small_map_first(std::move(rest), std::move(outputs));
    const Names before = names(g);
    transform(g, classify_before_resize);
    CHECK(names(g) == before);
  };
  SUBCASE("as many channels or more") {
    stays({{"grow", bilinear, {2, 0}}, {"classify", conv(8, 8, 1, 7), {3}}}, {4});
  }
  SUBCASE("a larger kernel") {
    stays({{"grow", bilinear, {2, 0}}, {"classify", conv(3, 8, 3, 7), {3}}}, {4});
  }
  SUBCASE("a padded one") {
    Conv2d padded = conv(3, 8, 1, 7);
    padded.padding = 1;
    stays({{"grow", bilinear, {2, 0}}, {"classify", padded, {3}}}, {4});
  }
  SUBCASE("a strided one") {
    Conv2d strided = conv(3, 8, 1, 7);
    strided.stride = 2;
    stays({{"grow", bilinear, {2, 0}}, {"classify", strided, {3}}}, {4});
  }
  SUBCASE("an activation within") {
    Conv2d activated = conv(3, 8, 1, 7);
    activated.activation = ActivationKind::relu;
    stays({{"grow", bilinear, {2, 0}}, {"classify", activated, {3}}}, {4});
  }
  SUBCASE("the resized map is an output") {
    stays({{"grow", bilinear, {2, 0}}, {"classify", conv(3, 8, 1, 7), {3}}}, {4, 3});
  }
  SUBCASE("another node reads it") {
    stays({{"grow", bilinear, {2, 0}}, {"classify", conv(3, 8, 1, 7), {3}}, {"relu", relu_layer, {3}}},
          {4, 5});
  }
}

TEST_CASE("a 1x1 convolution and the depthwise one behind it become one layer, with their activations") {
  const auto taps = drawn(72, 8), bias = drawn(8, 9);
  const Conv2d depthwise{
      .weight = {8, 1, 3, 3, taps}, .bias = bias, .padding = 2, .dilation = 2, .groups = 8};
  Graph g = small_map_first({{"swish", Activation{ActivationKind::hardswish}, {2}},
                             {"depthwise", depthwise, {3}},
                             {"relu", relu_layer, {4}},
                             {"project", conv(4, 8, 1, 7), {5}}},
                            {6});
  transform(g, optimise, 1e-6);
  CHECK(names(g) == Names{"halve", "depthwise", "project"});
  const auto& pair = std::get<ExpandDepthwise>(g.nodes[1].layer);
  CHECK(pair.expand.activation == ActivationKind::hardswish);
  CHECK(pair.depthwise.activation == ActivationKind::relu);
  CHECK(pair.depthwise.dilation == 2);
}

TEST_CASE(
    "a depthwise convolution stays alone where another node reads what it reads, or a residual is in the "
    "way") {
  const auto taps = drawn(72, 8);
  const Conv2d depthwise{.weight = {8, 1, 3, 3, taps}, .bias = nullptr, .padding = 1, .groups = 8};
  SUBCASE("another reader") {
    Graph g = small_map_first({{"depthwise", depthwise, {2}}, {"relu", relu_layer, {2}}}, {3, 4});
    transform(g, fuse_expansion);
    CHECK(names(g) == Names{"halve", "widen", "depthwise", "relu"});
  }
  SUBCASE("a residual of the depthwise convolution") {
    Graph g = small_map_first(
        {{"other", conv(8, 4, 1, 3), {1}}, {"depthwise", depthwise, {2}}, {"add", Add{}, {4, 3}}}, {5});
    transform(g, fuse_residual, 1e-6);
    transform(g, fuse_expansion);
    CHECK(names(g) == Names{"halve", "widen", "other", "depthwise"});
  }
  SUBCASE("a residual of the 1x1 convolution") {
    Graph g = small_map_first(
        {{"wide", conv(8, 4, 1, 3), {1}}, {"add", Add{}, {3, 2}}, {"depthwise", depthwise, {4}}}, {5});
    transform(g, fuse_residual, 1e-6);
    transform(g, fuse_expansion);
    CHECK(names(g) == Names{"halve", "widen", "wide", "depthwise"});
  }
  SUBCASE("a larger kernel before it") {
    Graph g = small_map_first({{"wide", conv(8, 8, 3, 3), {2}}, {"depthwise", depthwise, {3}}}, {4});
    transform(g, fuse_expansion);
    CHECK(names(g) == Names{"halve", "widen", "wide", "depthwise"});
  }
}

namespace {

// A squeeze-excitation on value 2, and whatever reads it.
std::vector<Node> excitation(ValueId gated_by, std::vector<Node> rest) {
  std::vector<Node> nodes{{"mean", AdaptiveAvgPool2d{1, 1}, {2}},
                          {"fc", conv(8, 8, 1, 11, true), {3}},
                          {"gate", Activation{ActivationKind::hardsigmoid}, {4}},
                          {"mul", Mul{}, {2, gated_by}}};
  nodes.insert(nodes.end(), rest.begin(), rest.end());
  return nodes;
}

}  // namespace

TEST_CASE(
    "a gate becomes part of the 1x1 convolution that reads what it gates, residual and activation too") {
  Graph g = small_map_first(excitation(5, {{"project", conv(4, 8, 1, 7, true), {6}}}), {7});
  transform(g, optimise, 1e-6);
  CHECK(names(g) == Names{"halve", "widen", "mean", "fc", "project"});
  CHECK(g.nodes[4].inputs.size() == 2);

  Graph with = small_map_first(
      excitation(5, {{"project", conv(4, 8, 1, 7), {6}}, {"add", Add{}, {7, 1}}, {"relu", relu_layer, {8}}}),
      {9});
  transform(with, optimise, 1e-6);
  CHECK(names(with) == Names{"halve", "widen", "mean", "fc", "project"});
  CHECK(with.nodes[4].inputs == std::vector<ValueId>{2, 5, 1});
}

TEST_CASE(
    "a product stays where its second factor is a map, or where others read it, or the kernel is larger") {
  const auto stays = [](std::vector<Node> rest, std::vector<ValueId> outputs) {
    Graph g = small_map_first(std::move(rest), std::move(outputs));
    transform(g, fold_gate);
    CHECK(std::ranges::count(names(g), "mul") == 1);
  };
  SUBCASE("a map times itself") { stays(excitation(2, {{"project", conv(4, 8, 1, 7), {6}}}), {7}); }
  SUBCASE("another reader") {
    stays(excitation(5, {{"project", conv(4, 8, 1, 7), {6}}, {"relu", relu_layer, {6}}}), {7, 8});
  }
  SUBCASE("a 3x3 convolution") { stays(excitation(5, {{"project", conv(4, 8, 3, 7), {6}}}), {7}); }
}

TEST_CASE("the networks optimise to convolutions, pooling, resizing, concatenation and LR-ASPP's sum") {
  const std::set<std::string_view> left{"conv2d", "max_pool2d",   "adaptive_avg_pool2d", "resize",
                                        "concat", "gated_conv2d", "expand_depthwise",    "add"};
  for (const std::string network : {"fcn_resnet18", "fcn_resnet(1,2,1,1)", "deeplabv3_resnet(2,1,1,2)",
                                    "deeplabv3_mobilenet_v3_large", "lraspp_mobilenet_v3_small"}) {
    CAPTURE(network);
    // As narrow as leaves every block of a MobileNetV3 but the first its expansion.
    const StateDict state =
        seeded_state(network, {.classes = 3, .width = mentions(network, "mobile") ? 16 : 4});
    Graph graph = build_network(state, {.aux = !network.starts_with("lraspp")}).graph;
    std::size_t convolutions = 0;
    for (const auto& [name, tensor] : state.entries()) convolutions += tensor.shape.size() == 4;
    const Tensor input = noise({1, 21, 18, 3});
    const auto before = by_references(graph, input);
    optimise(graph);
    std::size_t found = 0;
    for (const Node& node : graph.nodes) {
      CHECK_MESSAGE(left.contains(name_of(node.layer)), node.name, " is still a ", name_of(node.layer));
      found += std::holds_alternative<Conv2d>(node.layer);
      found += std::holds_alternative<GatedConv2d>(node.layer);
      found += 2 * std::holds_alternative<ExpandDepthwise>(node.layer);
      CHECK(std::holds_alternative<Add>(node.layer) == (node.name == "classifier.low_classifier.add"));
    }
    // ASPP's projection is two: one of the maps, one of the pooled pixel.
    CHECK(found == convolutions + (network.starts_with("deeplab") ? 1 : 0));
    CHECK(deviation(by_references(graph, input), before) < 1e-5);
  }
}

TEST_CASE("optimising a second time changes nothing") {
  for (const StateDict& state : {tiny_state("deeplabv3"), tiny_mobilenet_state("lraspp")}) {
    Graph graph = build_network(state).graph;
    optimise(graph);
    const auto once = names(graph);
    optimise(graph);
    CHECK(names(graph) == once);
  }
}

}  // namespace atrous::passes_test
