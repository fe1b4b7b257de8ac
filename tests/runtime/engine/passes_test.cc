#include "runtime/engine/passes.h"

#include <doctest/doctest.h>

#include <cmath>
#include <set>

#include "layers/networks/segmentation.h"
#include "runtime/engine/weight_memory.h"
#include "tests/support/runtime_testing.h"

namespace atrous::passes_test {

using namespace atrous::runtime_testing;

namespace {

std::shared_ptr<const float> drawn(std::int64_t count, std::uint32_t seed) {
  auto tensor = std::make_shared<Tensor>(noise({1, 1, 1, count}, seed));
  return {tensor, tensor->data()};
}

Conv2d conv(std::int64_t out, std::int64_t in, std::int64_t kernel, std::uint32_t seed, bool bias = false) {
  return {.weight = {out, in, kernel, kernel, drawn(out * in * kernel * kernel, seed)},
          .bias = bias ? drawn(out, seed + 1) : nullptr,
          .padding = kernel / 2};
}

BatchNorm norm(std::int64_t channels) {
  BatchNorm n;
  for (std::int64_t c = 0; c < channels; ++c) {
    n.scale.push_back(0.3 + 0.1 * static_cast<double>(c));
    n.shift.push_back(0.7 - 0.2 * static_cast<double>(c));
  }
  return n;
}

// Value 0 is the input; every node makes the next value, all of 4 channels.
Graph chain(std::vector<Node> nodes, std::vector<ValueId> outputs) {
  Graph g;
  g.values.assign(nodes.size() + 1, {4});
  g.input = 0;
  g.nodes = std::move(nodes);
  for (std::size_t i = 0; i < g.nodes.size(); ++i) g.nodes[i].output = static_cast<ValueId>(i + 1);
  for (std::size_t i = 0; i < outputs.size(); ++i) g.outputs.emplace_back(str_cat("out", i), outputs[i]);
  return g;
}

// All outputs of a graph, every layer by its reference.
std::vector<float> by_references(const Graph& graph, const Tensor& input) {
  const auto shapes = infer_shapes(graph, input.shape());
  std::vector<Tensor> made(graph.values.size());
  const auto view = [&](ValueId v) {
    return v == graph.input ? ConstView(input.view()) : ConstView(made[static_cast<std::size_t>(v)].view());
  };
  for (const Node& node : graph.nodes) {
    const auto out = static_cast<std::size_t>(node.output);
    made[out] = Tensor(shapes[out]);
    std::vector<ConstView> inputs;
    for (ValueId v : node.inputs) inputs.push_back(view(v));
    run_reference(node.layer, inputs, made[out].view());
  }
  std::vector<float> all;
  for (const auto& [name, v] : graph.outputs) {
    const auto out = values(view(v));
    all.insert(all.end(), out.begin(), out.end());
  }
  return all;
}

std::vector<std::string> names(const Graph& graph) {
  std::vector<std::string> out;
  for (const Node& node : graph.nodes) out.push_back(node.name);
  return out;
}

using Names = std::vector<std::string>;

const Activation relu_layer{ActivationKind::relu};

// Runs `pass` and checks that the graph still computes the same.
template <class Pass>
void transform(Graph& graph, Pass&& pass, double tolerance = 0) {
  const Tensor input = noise({2, 5, 7, 4}, 9);
  const auto before = by_references(graph, input);
  pass(graph);
  CHECK(deviation(by_references(graph, input), before) <= tolerance);
}

}  // namespace

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

// ASPP in small: a map beside a pixel that is repeated over it, concatenated and convolved.
Graph pooling(const Conv2d& project, const AdaptiveAvgPool2d& pool = {1, 1}) {
  Graph g = chain({{"map", conv(4, 4, 3, 1), {0}},
                   {"pool", pool, {0}},
                   {"conv", conv(4, 4, 1, 2), {2}},
                   {"relu", relu_layer, {3}},
                   {"repeat", Resize{}, {4, 1}},
                   {"concat", Concat{}, {1, 5}},
                   {"project", project, {6}}},
                  {7});
  g.values[6].channels = 8;
  return g;
}

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

// Value 1 is made from the input by striding, at half its size; value 2 from that with 8 channels.
Graph small_map_first(std::vector<Node> rest, std::vector<ValueId> outputs) {
  Conv2d halve = conv(4, 4, 3, 5);
  halve.stride = 2;
  std::vector<Node> nodes{{"halve", halve, {0}}, {"widen", conv(8, 4, 1, 6), {1}}};
  nodes.insert(nodes.end(), rest.begin(), rest.end());
  Graph g = chain(std::move(nodes), std::move(outputs));
  for (const Node& n : g.nodes) {
    std::int64_t& channels = g.values[static_cast<std::size_t>(n.output)].channels;
    if (const auto* c = std::get_if<Conv2d>(&n.layer)) {
      channels = c->out_channels();
    } else if (std::holds_alternative<Concat>(n.layer)) {
      channels = 0;
      for (ValueId v : n.inputs) channels += g.values[static_cast<std::size_t>(v)].channels;
    } else
      channels = g.values[static_cast<std::size_t>(n.inputs[0])].channels;
  }
  return g;
}

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

const Resize doubling{.mode = ResizeMode::nearest, .factor = 2}, doubling_bilinear{.factor = 2};

}  // namespace

TEST_CASE("a doubled map and the 3x3 convolution behind it become one layer, with its activation") {
  Graph g = small_map_first(
      {{"double", doubling, {2}}, {"conv", conv(5, 8, 3, 3, true), {3}}, {"relu", relu_layer, {4}}}, {5});
  transform(g, optimise, 1e-6);
  CHECK(names(g) == Names{"halve", "widen", "conv"});
  CHECK(std::get<DoubledConv2d>(g.nodes[2].layer).conv.activation == ActivationKind::relu);
  Graph of_many = small_map_first({{"double", doubling, {2}}, {"conv", conv(33, 8, 3, 3), {3}}}, {4});
  transform(of_many, fuse_doubling, 1e-6);
  CHECK(names(of_many) == Names{"halve", "widen", "conv"});

  const auto stays = [](const Resize& resize, const Conv2d& layer, std::vector<ValueId> inputs = {3},
                        std::vector<ValueId> outputs = {4}) {
    Graph graph =
        small_map_first({{"double", resize, {2}}, {"conv", layer, std::move(inputs)}}, std::move(outputs));
    transform(graph, fuse_doubling);
    CHECK(names(graph) == Names{"halve", "widen", "double", "conv"});
  };
  const Conv2d usual = conv(5, 8, 3, 3);
  SUBCASE("another factor") { stays({.mode = ResizeMode::nearest, .factor = 4}, usual); }
  SUBCASE("bilinear") { stays(doubling_bilinear, usual); }
  SUBCASE("another reader") { stays(doubling, usual, {3}, {3, 4}); }
  SUBCASE("a residual") { stays(doubling, conv(8, 8, 3, 3), {3, 3}); }
  SUBCASE("another kernel") { stays(doubling, conv(5, 8, 1, 3)); }
  for (const auto& change : std::initializer_list<void (*)(Conv2d&)>{
           [](Conv2d& c) { c.padding = 0; }, [](Conv2d& c) { c.stride = 2; },
           [](Conv2d& c) { c.padding = c.dilation = 2; },
           [](Conv2d& c) { c.rounding = Rounding::precise; }}) {
    Conv2d other = usual;
    change(other);
    stays(doubling, other);
  }
}

namespace {

// U-Net's decoder in small: value 3 is value 2 of 8 channels doubled, 4 a map of 4 channels of that size,
// 5 the two, or those of `order`, joined, 6 the convolution.
Graph decoder(const Conv2d& layer, const std::vector<ValueId>& order = {3, 4},
              std::vector<Node> rest = {{"relu", relu_layer, {6}}}, std::vector<ValueId> outputs = {7}) {
  std::vector<Node> nodes{{"double", doubling, {2}},
                          {"skip", doubling_bilinear, {1}},
                          {"concat", Concat{}, order},
                          {"conv", layer, {5}}};
  nodes.insert(nodes.end(), rest.begin(), rest.end());
  return small_map_first(std::move(nodes), std::move(outputs));
}

const Names undivided{"halve", "widen", "double", "skip", "concat", "conv", "relu"};

const Conv2d& conv_of(const Graph& g, std::size_t node) { return std::get<Conv2d>(g.nodes.at(node).layer); }

}  // namespace

TEST_CASE(
    "of a convolution of a doubled map joined with another one the doubled part is a layer of its own") {
  for (const bool doubled_first : {true, false})
    for (const bool bias : {true, false})
      for (const std::int64_t outputs : {1, 5, 8}) {  // at most as many as the doubled map has channels
        CAPTURE(doubled_first);
        CAPTURE(bias);
        CAPTURE(outputs);
        const Conv2d layer = conv(outputs, 12, 3, 3, bias);
        Graph g = decoder(layer, doubled_first ? std::vector<ValueId>{3, 4} : std::vector<ValueId>{4, 3});
        transform(g, optimise, 1e-5);
        CHECK(names(g) == Names{"halve", "widen", "conv.doubled", "skip", "conv"});
        CHECK(g.nodes[2].inputs == std::vector<ValueId>{2});
        CHECK(g.nodes[4].inputs == std::vector<ValueId>{4, g.nodes[2].output});
        const Conv2d &doubled = std::get<DoubledConv2d>(g.nodes[2].layer).conv, &rest = conv_of(g, 4);
        CHECK(doubled.in_channels() == 8);
        CHECK(doubled.out_channels() == outputs);
        CHECK(doubled.activation == ActivationKind::none);
        CHECK(doubled.bias == nullptr);
        CHECK(rest.in_channels() == 4);
        CHECK(rest.activation == ActivationKind::relu);
        CHECK(rest.bias == layer.bias);
        const Value& made = g.values[static_cast<std::size_t>(g.nodes[2].output)];
        CHECK(made.channels == outputs);
        CHECK(made.name == "conv.doubled");
        bool of_the_layer = true;
        for (std::int64_t o = 0; o < outputs; ++o)
          for (std::int64_t i = 0; i < 12; ++i)
            for (std::int64_t tap = 0; tap < 9; ++tap) {
              const std::int64_t within = doubled_first ? i : i - 4, other = doubled_first ? i - 8 : i;
              const float found = within >= 0 && within < 8 ? doubled.weight.at(o, within, tap / 3, tap % 3)
                                                            : rest.weight.at(o, other, tap / 3, tap % 3);
              of_the_layer = of_the_layer && found == layer.weight.at(o, i, tap / 3, tap % 3);
            }
        CHECK(of_the_layer);
      }
}

TEST_CASE("of more maps than two those that are not doubled stay joined, in their order") {
  for (const std::vector<ValueId>& order :
       {std::vector<ValueId>{3, 4, 5}, std::vector<ValueId>{4, 3, 5}, std::vector<ValueId>{4, 5, 3}}) {
    Graph g = small_map_first({{"double", doubling, {2}},
                               {"skip", doubling_bilinear, {1}},
                               {"third", doubling_bilinear, {2}},
                               {"concat", Concat{}, order},
                               {"conv", conv(5, 20, 3, 3, true), {6}}},
                              {7});
    transform(g, fuse_doubling, 1e-5);
    CHECK(names(g) == Names{"halve", "widen", "conv.doubled", "skip", "third", "concat", "conv"});
    CHECK(g.nodes[5].inputs == std::vector<ValueId>{4, 5});
    CHECK(g.values[6].channels == 12);
    CHECK(g.nodes[6].inputs == std::vector<ValueId>{6, 3});
  }
}

TEST_CASE("of two doubled maps the first that has channels enough is taken apart, the other stays") {
  const auto with = [](std::int64_t outputs, std::vector<Node> rest) {
    std::vector<Node> nodes{{"wide", doubling, {2}}, {"narrow", doubling, {1}}};
    nodes.insert(nodes.end(), rest.begin(), rest.end());
    nodes.push_back({"conv", conv(outputs, 12, 3, 3), {5}});
    return small_map_first(std::move(nodes), {6});
  };
  Graph first = with(4, {{"concat", Concat{}, {3, 4}}});
  transform(first, fuse_doubling, 1e-5);
  CHECK(names(first) == Names{"halve", "widen", "conv.doubled", "narrow", "conv"});
  CHECK(first.nodes[4].inputs == std::vector<ValueId>{4, 3});
  Graph other_way = with(4, {{"concat", Concat{}, {4, 3}}});
  transform(other_way, fuse_doubling, 1e-5);
  CHECK(names(other_way) == Names{"halve", "widen", "wide", "conv.doubled", "conv"});
  Graph second = with(5, {{"concat", Concat{}, {4, 3}}});
  transform(second, fuse_doubling, 1e-5);
  CHECK(names(second) == Names{"halve", "widen", "conv.doubled", "narrow", "conv"});
}

TEST_CASE("a doubled map that is joined stays where its part would be larger, or others need what it made") {
  const Conv2d usual = conv(5, 12, 3, 3);
  const auto stays = [](Graph g, Names expected = undivided) {
    transform(g, fuse_doubling);
    CHECK(names(g) == expected);
  };
  const auto followed = [](const Names& by) {
    Names all(undivided.begin(), undivided.end() - 1);
    all.insert(all.end(), by.begin(), by.end());
    return all;
  };
  const std::vector<ValueId> joined{3, 4};
  SUBCASE("more outputs than channels") { stays(decoder(conv(9, 12, 3, 3))); }
  SUBCASE("the doubled map is an output") { stays(decoder(usual, joined, {}, {6, 3}), followed({})); }
  SUBCASE("another node reads the doubled map") {
    stays(decoder(usual, joined, {{"other", relu_layer, {3}}}, {6, 7}), followed({"other"}));
  }
  SUBCASE("it is joined twice") { stays(decoder(conv(5, 20, 3, 3), {3, 4, 3})); }
  SUBCASE("the concatenation is an output") { stays(decoder(usual, joined, {}, {6, 5}), followed({})); }
  SUBCASE("another node reads the concatenation") {
    stays(decoder(usual, joined, {{"other", relu_layer, {5}}}, {6, 7}), followed({"other"}));
  }
  SUBCASE("two convolutions read the concatenation") {
    stays(decoder(usual, joined, {{"second", conv(5, 12, 3, 4), {5}}}, {6, 7}), followed({"second"}));
  }
  SUBCASE("a residual") {
    Graph g = decoder(conv(8, 12, 3, 3));
    g.nodes[5].inputs.push_back(g.nodes[2].output);
    stays(g);
    Graph of_another = decoder(conv(4, 12, 3, 3));
    of_another.nodes[5].inputs.push_back(4);
    stays(of_another);
  }
  SUBCASE("another way to double") {
    Graph g = decoder(usual);
    g.nodes[2].layer = doubling_bilinear;
    stays(g);
  }
  SUBCASE("a doubled map that was activated") {
    Graph g = small_map_first({{"double", doubling, {2}},
                               {"relu", relu_layer, {3}},
                               {"skip", doubling_bilinear, {1}},
                               {"concat", Concat{}, {4, 5}},
                               {"conv", usual, {6}}},
                              {7});
    stays(g, {"halve", "widen", "double", "relu", "skip", "concat", "conv"});
  }
  SUBCASE("another convolution") {
    for (const auto& change : std::initializer_list<void (*)(Conv2d&)>{
             [](Conv2d& c) { c.padding = 0; }, [](Conv2d& c) { c.stride = 2; },
             [](Conv2d& c) { c.padding = c.dilation = 2; }, [](Conv2d& c) { c.rounding = Rounding::precise; },
             [](Conv2d& c) { c = conv(5, 12, 1, 3); }, [](Conv2d& c) { c = conv(5, 12, 5, 3); }}) {
      Conv2d other = usual;
      change(other);
      stays(decoder(other));
    }
    Conv2d grouped = conv(4, 6, 3, 3);
    grouped.groups = 2;
    stays(decoder(grouped));
  }
  SUBCASE("quantised weights") {
    Conv2d quantised = usual;
    const auto whole = std::make_shared<std::vector<std::int8_t>>(5 * 12 * 9);
    quantised.weight.quantised = {whole, whole->data()};
    quantised.weight.scale = drawn(5, 3);
    quantised.weight.data = nullptr;
    Graph g = decoder(quantised);
    fuse_doubling(g);
    CHECK(names(g) == undivided);
  }
  SUBCASE("maps in fewer bits") {
    Graph g = decoder(usual);
    fuse_for_processor(g, true);
    CHECK(names(g) == undivided);
  }
}

namespace {

// As a file that holds so many floats.
class Stored final : public StoredWeights {
 public:
  explicit Stored(std::shared_ptr<const float> floats, std::int64_t count)
      : floats_(std::move(floats)), count_(count) {}
  void read(std::int64_t first, std::span<float> out) const override {
    if (first < 0 || first + std::ssize(out) > count_) fail(ErrorCode::io, "beside the weights");
    std::copy_n(floats_.get() + first, out.size(), out.begin());
  }

 private:
  std::shared_ptr<const float> floats_;
  std::int64_t count_;
};

// The layer with its weights in a file, to be multiplied by a batch norm's scale if there are factors.
Conv2d in_file(Conv2d layer, std::vector<double> factors) {
  Filter& w = layer.weight;
  w.pending = std::make_shared<const PendingWeights>(
      PendingWeights{std::make_shared<const Stored>(w.data, w.elements()), std::move(factors)});
  w.data = nullptr;
  return layer;
}

// Of [outputs][inputs][taps] those of the inputs [first, last), or all others.
std::vector<float> part_of(const Filter& w, std::int64_t first, std::int64_t last, bool others) {
  std::vector<float> part;
  const std::int64_t taps = w.kernel_h * w.kernel_w;
  for (std::int64_t o = 0; o < w.d0; ++o)
    for (std::int64_t i = 0; i < w.d1; ++i)
      if ((i >= first && i < last) != others)
        for (std::int64_t tap = 0; tap < taps; ++tap)
          part.push_back(w.data.get()[(o * w.d1 + i) * taps + tap]);
  return part;
}

// Whether weights in a file are `expected`, wherever reading begins and ends, and have the factors.
bool stored_as(const Filter& w, const std::vector<float>& expected, const std::vector<double>& factors) {
  if (w.data || !w.pending || !w.pending->stored || w.pending->factors != factors) return false;
  if (w.elements() != std::ssize(expected)) return false;
  const auto size = expected.size();
  for (std::size_t first = 0; first < size; ++first)
    for (const std::size_t count : {std::size_t{1}, std::size_t{2}, std::size_t{7}, size / 3, size - first}) {
      if (count > size - first) continue;
      std::vector<float> found(count);
      w.pending->stored->read(static_cast<std::int64_t>(first), found);
      if (!std::equal(found.begin(), found.end(), expected.begin() + static_cast<std::ptrdiff_t>(first)))
        return false;
    }
  return true;
}

// The same weights in memory, each product in double and rounded once.
std::vector<float> multiplied(std::vector<float> weights, const std::vector<double>& factors) {
  if (!factors.empty())
    for (std::size_t i = 0; i < weights.size(); ++i)
      weights[i] = static_cast<float>(static_cast<double>(weights[i]) *
                                      factors[i / (weights.size() / factors.size())]);
  return weights;
}

std::vector<float> brought_in(Filter w) {
  bring_in(w);
  return {w.data.get(), w.data.get() + w.elements()};
}

const std::vector<double> some_factors[] = {{}, {0.3, -1.7, 0.1, 2.5, 1e-3}};

}  // namespace

TEST_CASE("weights that are still in a file are taken apart without being read, and keep their factors") {
  for (const std::vector<double>& factors : some_factors)
    for (const std::vector<ValueId>& order :
         {std::vector<ValueId>{3, 4, 5}, std::vector<ValueId>{4, 3, 5}, std::vector<ValueId>{4, 5, 3}}) {
      const Conv2d layer = conv(5, 16, 3, 3, true);
      Graph g = small_map_first({{"double", doubling, {2}},
                                 {"skip", doubling_bilinear, {1}},
                                 {"third", doubling_bilinear, {1}},
                                 {"concat", Concat{}, order},
                                 {"conv", in_file(layer, factors), {6}}},
                                {7});
      fuse_doubling(g);
      REQUIRE(names(g) == Names{"halve", "widen", "conv.doubled", "skip", "third", "concat", "conv"});
      const std::int64_t first = order[0] == 3 ? 0 : order[1] == 3 ? 4 : 8;
      CAPTURE(first);
      CAPTURE(factors.size());
      const Filter &doubled = std::get<DoubledConv2d>(g.nodes[2].layer).conv.weight,
                   &rest = conv_of(g, 6).weight;
      const auto of_doubled = part_of(layer.weight, first, first + 8, false),
                 of_rest = part_of(layer.weight, first, first + 8, true);
      CHECK(stored_as(doubled, of_doubled, factors));
      CHECK(stored_as(rest, of_rest, factors));
      CHECK(same_bits(brought_in(doubled), multiplied(of_doubled, factors)));
      CHECK(same_bits(brought_in(rest), multiplied(of_rest, factors)));
    }
}

TEST_CASE("weights in memory with a batch norm's scale to come are taken apart with it") {
  for (const std::vector<double>& factors : some_factors) {
    const Conv2d layer = conv(5, 12, 3, 3);
    Conv2d scaled = layer;
    scaled.weight.pending = std::make_shared<const PendingWeights>(PendingWeights{nullptr, factors});
    Graph g = decoder(scaled);
    fuse_doubling(g);
    REQUIRE(names(g) == Names{"halve", "widen", "conv.doubled", "skip", "conv", "relu"});
    CHECK(same_bits(brought_in(std::get<DoubledConv2d>(g.nodes[2].layer).conv.weight),
                    multiplied(part_of(layer.weight, 0, 8, false), factors)));
    CHECK(
        same_bits(brought_in(conv_of(g, 4).weight), multiplied(part_of(layer.weight, 0, 8, true), factors)));
  }
}

TEST_CASE("a repeated pixel's weights in a file are taken apart without being read, and keep their factors") {
  for (const std::vector<double>& factors : some_factors) {
    const Conv2d layer = conv(5, 8, 1, 3, true);
    Graph g = pooling(in_file(layer, factors));
    hoist_repeated_pixel(g);
    REQUIRE(names(g) == Names{"map", "pool", "conv", "relu", "project.pixel", "concat", "project"});
    CHECK(stored_as(conv_of(g, 4).weight, part_of(layer.weight, 4, 8, false), factors));
    CHECK(stored_as(conv_of(g, 6).weight, part_of(layer.weight, 4, 8, true), factors));
    CHECK(
        same_bits(brought_in(conv_of(g, 4).weight), multiplied(part_of(layer.weight, 4, 8, false), factors)));
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

namespace {

// A convolution whose weights are numbers of steps of 1 / 64.
Conv2d quantised_conv(std::int64_t out, std::int64_t in, std::int64_t kernel, std::uint32_t seed,
                      std::int64_t groups = 1) {
  Conv2d layer = conv(out, in / groups, kernel, seed);
  layer.groups = groups;
  Filter& w = layer.weight;
  const std::int64_t count = w.elements();
  std::shared_ptr<std::int8_t[]> steps(new std::int8_t[static_cast<std::size_t>(count)]);
  for (std::int64_t i = 0; i < count; ++i)
    steps[i] = static_cast<std::int8_t>(std::clamp(std::nearbyint(w.data.get()[i] * 40), -127.f, 127.f));
  std::shared_ptr<float[]> scale(new float[static_cast<std::size_t>(out)]);
  std::fill_n(scale.get(), out, 1.f / 64);
  w.data = nullptr;
  w.quantised = {steps, steps.get()};
  w.scale = {scale, scale.get()};
  return layer;
}

DType dtype_of_value(const Graph& graph, ValueId v) {
  return graph.values[static_cast<std::size_t>(v)].dtype;
}

}  // namespace

TEST_CASE("quantised weights take a batch norm in their scales") {
  Graph g = chain({{"conv", quantised_conv(4, 4, 3, 1), {0}, -1}, {"norm", norm(4), {1}, -1}}, {2});
  dequantise_others(g);  // for the references
  Graph folded = chain({{"conv", quantised_conv(4, 4, 3, 1), {0}, -1}, {"norm", norm(4), {1}, -1}}, {2});
  fold_batch_norm(folded);
  REQUIRE(folded.nodes.size() == 1);
  CHECK(conv_of(folded, 0).weight.quantised);
  CHECK_FALSE(conv_of(folded, 0).weight.data);
  dequantise_others(folded);
  CHECK_FALSE(conv_of(folded, 0).weight.quantised);
  const Tensor input = noise({2, 5, 7, 4}, 9);
  CHECK(deviation(by_references(folded, input), by_references(g, input)) <= 1e-6);
}

TEST_CASE("maps between convolutions with ranges are in 8 bits, with one range where values only move") {
  //   0 -> first -> 1 -> pool -> 2 -> middle -> 3 -> last -> 4 (out)
  //                      2, 3 -> concat -> 5 -> after -> 6 (out)
  Graph g = chain({{"first", conv(4, 4, 3, 1), {0}, -1},
                   {"pool", MaxPool2d{.kernel = 2, .stride = 1, .padding = 0}, {1}, -1},
                   {"middle", quantised_conv(4, 4, 1, 3), {2}, -1},
                   {"last", quantised_conv(4, 4, 1, 4), {3}, -1},
                   {"concat", Concat{}, {2, 3}, -1},
                   {"after", quantised_conv(4, 8, 1, 5), {5}, -1}},
                  {4, 6});
  g.values[5].channels = 8;
  for (std::size_t v = 1; v < g.values.size(); ++v) g.values[v].range = ValueRange{0, static_cast<float>(v)};
  choose_int8(g);
  for (const ValueId v : {1, 2, 3, 5}) {
    CAPTURE(v);
    CHECK(dtype_of_value(g, v) == DType::u8);
    CHECK(g.values[static_cast<std::size_t>(v)].quantisation == quantisation_of({0, 5}));
  }
  for (const ValueId v : {0, 4, 6}) CHECK(dtype_of_value(g, v) == DType::f32);
  dequantise_others(g);
  for (const std::size_t node : {2U, 3U, 5U}) CHECK(conv_of(g, node).weight.quantised);
}

TEST_CASE(
    "in 8 bits nothing is a map that no quantised layer reads, that has no range, or that is one pixel") {
  const auto chosen = [](std::vector<Node> nodes, std::vector<ValueId> outputs, std::set<ValueId> ranges) {
    Graph g = chain(std::move(nodes), std::move(outputs));
    for (const ValueId v : ranges) g.values[static_cast<std::size_t>(v)].range = ValueRange{-1, 1};
    choose_int8(g);
    dequantise_others(g);
    return g;
  };
  SUBCASE("read by a layer of floats alone") {
    const Graph g =
        chosen({{"a", quantised_conv(4, 4, 1, 1), {0}, -1}, {"b", conv(4, 4, 1, 2), {1}, -1}}, {2}, {1, 2});
    CHECK(dtype_of_value(g, 1) == DType::f32);
    CHECK(conv_of(g, 0).weight.data);  // its input, the network's, is in fp32
  }
  SUBCASE("without a range") {
    const Graph g =
        chosen({{"a", conv(4, 4, 1, 1), {0}, -1}, {"b", quantised_conv(4, 4, 1, 2), {1}, -1}}, {2}, {});
    CHECK(dtype_of_value(g, 1) == DType::f32);
    CHECK(conv_of(g, 1).weight.data);
  }
  SUBCASE("made of means") {
    const Graph g = chosen({{"mean", AdaptiveAvgPool2d{.out_h = 1, .out_w = 1}, {0}, -1},
                            {"a", conv(4, 4, 1, 1), {1}, -1},
                            {"b", quantised_conv(4, 4, 1, 2), {2}, -1}},
                           {3}, {1, 2});
    for (const ValueId v : {1, 2}) CHECK(dtype_of_value(g, v) == DType::f32);
  }
  SUBCASE("a sigmoid's sums, and groups of other than multiples of four channels") {
    Conv2d sigmoid = quantised_conv(4, 4, 1, 2);
    sigmoid.activation = ActivationKind::sigmoid;
    for (const Conv2d& layer : {sigmoid, quantised_conv(4, 4, 3, 2, 2)}) {
      const Graph g = chosen({{"a", conv(4, 4, 1, 1), {0}, -1}, {"b", layer, {1}, -1}}, {2}, {1});
      CHECK(dtype_of_value(g, 1) == DType::f32);
    }
  }
  SUBCASE("but what stays in fp32 and has a range is quantised by those that read it, the input apart") {
    const Graph g = chosen({{"a", quantised_conv(4, 4, 1, 1), {0}, -1},
                            {"scaled", Scale{2}, {1}, -1},
                            {"b", quantised_conv(64, 4, 1, 2), {2}, -1},
                            {"depthwise", quantised_conv(4, 4, 3, 2, 4), {2}, -1},
                            {"scaled again", Scale{2}, {2}, -1},
                            {"few", quantised_conv(63, 4, 1, 2), {5}, -1}},
                           {3, 4, 6}, {0, 1, 2, 5});
    for (const ValueId v : {0, 1, 2, 3, 4, 5, 6}) CHECK(dtype_of_value(g, v) == DType::f32);
    CHECK(g.values[2].quantisation == quantisation_of({-1, 1}));
    for (const std::size_t v : {0U, 1U, 5U}) CHECK(g.values[v].quantisation == Quantisation{});
    CHECK(conv_of(g, 0).weight.data);
    CHECK(conv_of(g, 2).weight.quantised);
    for (const std::size_t node : {3U, 5U}) CHECK(conv_of(g, node).weight.data);
  }
  SUBCASE("of the depthwise, though, and of a gate of one pixel") {
    const Graph g = chosen({{"a", conv(4, 4, 1, 1), {0}, -1},
                            {"depthwise", quantised_conv(4, 4, 3, 2, 4), {1}, -1},
                            {"mean", AdaptiveAvgPool2d{.out_h = 1, .out_w = 1}, {2}, -1},
                            {"gated", Mul{}, {2, 3}, -1},
                            {"b", quantised_conv(4, 4, 1, 3), {4}, -1}},
                           {5}, {1, 2, 4});
    for (const ValueId v : {1, 2, 4}) CHECK(dtype_of_value(g, v) == DType::u8);
    CHECK(dtype_of_value(g, 3) == DType::f32);
  }
}

namespace {

constexpr float divisors[] = {0.25f, 1, 0.5f, 2};

// A convolution, and a quantised one that wants what the first makes divided.
Graph divided(ActivationKind activation, bool quantised_before, bool depthwise, float highest,
              std::vector<ValueId> outputs = {2}) {
  Conv2d before = quantised_before ? quantised_conv(4, 4, 3, 1) : conv(4, 4, 3, 1, true);
  before.activation = activation;
  Conv2d reader = quantised_conv(4, 4, 3, 2, depthwise ? 4 : 1);
  reader.weight.equalisation = {std::shared_ptr<void>(), divisors};
  Graph g = chain({{"before", before, {0}, -1}, {"reader", reader, {1}, -1}}, std::move(outputs));
  g.values[1].range = ValueRange{activation == ActivationKind::none ? -1.f : 0.f, highest};
  return g;
}

// Its layers in floats.
std::vector<float> in_floats(Graph g, const Tensor& input) {
  for (Value& value : g.values) value.dtype = DType::f32;
  dequantise_others(g);
  fold_batch_norm(g);  // which brings factors in
  return by_references(g, input);
}

}  // namespace

TEST_CASE("channels are divided between convolutions in 8 bits, and the network stays the same") {
  const Tensor input = noise({1, 6, 5, 4}, 3);
  for (const ActivationKind activation : {ActivationKind::none, ActivationKind::relu})
    for (const bool quantised_before : {false, true})
      for (const bool depthwise : {false, true}) {
        CAPTURE(name_of(activation));
        CAPTURE(quantised_before);
        CAPTURE(depthwise);
        Graph g = divided(activation, quantised_before, depthwise, 5);
        const std::vector<float> before = in_floats(g, input);
        choose_int8(g);
        CHECK(dtype_of_value(g, 1) == DType::u8);
        equalise(g);
        CHECK_FALSE(conv_of(g, 1).weight.equalisation);
        CHECK(conv_of(g, 1).weight.quantised);
        CHECK(deviation(in_floats(g, input), before) <= 1e-6);
        // What lies between is.
        Graph plain = divided(activation, quantised_before, depthwise, 5);
        for (Graph* cut : {&g, &plain}) {
          cut->nodes.pop_back();
          cut->outputs[0].second = 1;
        }
        const std::vector<float> made = in_floats(g, input), undivided = in_floats(plain, input);
        for (std::size_t i = 0; i < made.size(); ++i)
          CHECK(made[i] == doctest::Approx(undivided[i] / divisors[i % 4]).epsilon(1e-5));
      }
}

TEST_CASE("channels are divided before a relu6 if that limits none of them within the range") {
  for (const float highest : {2.9f, 3.1f}) {
    Graph g = divided(ActivationKind::relu6, true, true, highest);
    choose_int8(g);
    equalise(g);
    CHECK((dtype_of_value(g, 1) == DType::u8) == (highest < 3));
    CHECK(!conv_of(g, 1).weight.equalisation == (highest < 3));
  }
}

TEST_CASE("where channels cannot be divided, the reader's weights are the floats that they stand for") {
  const Tensor input = noise({1, 6, 5, 4}, 3);
  Graph graphs[] = {divided(ActivationKind::hardswish, true, true, 5),
                    divided(ActivationKind::relu, true, false, 5, {2, 1}),
                    divided(ActivationKind::relu, true, false, 5)};
  graphs[2].values[1].range.reset();
  for (Graph& g : graphs) {
    const std::vector<float> before = in_floats(g, input);
    choose_int8(g);
    equalise(g);
    CHECK(dtype_of_value(g, 1) == DType::f32);
    dequantise_others(g);
    const Filter& w = conv_of(g, 1).weight;
    REQUIRE(w.data);
    CHECK_FALSE(w.equalisation);
    CHECK(in_floats(g, input) == before);
  }
  // A residual is not divided.
  Graph g = divided(ActivationKind::relu, true, false, 5);
  g.nodes[0].inputs.push_back(0);
  CHECK_FALSE(divider(g, g.nodes[1]));
}

TEST_CASE("what has quantised weights is not fused for the processor") {
  Graph g = chain({{"expand", quantised_conv(4, 4, 1, 1), {0}, -1},
                   {"depthwise", quantised_conv(4, 4, 3, 2, 4), {1}, -1}},
                  {2});
  fuse_for_processor(g, false);
  CHECK(names(g) == Names{"expand", "depthwise"});
}

}  // namespace atrous::passes_test
