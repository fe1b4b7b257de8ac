// What is said of layers: receptive fields by looking which inputs change an output, taps by counting, and
// what the passes made of each layer.
#include "runtime/explain/layer_facts.h"

#include <doctest/doctest.h>

#include <cmath>

#include "runtime/explain/arena_drawing.h"
#include "runtime/explain/graph_text.h"
#include "tests/support/layers_testing.h"

namespace atrous::layer_facts_test {

namespace {

std::shared_ptr<const float> ones(std::int64_t count) {
  std::shared_ptr<float[]> values(new float[static_cast<std::size_t>(count)]);
  std::fill_n(values.get(), count, 1.f);
  return {values, values.get()};
}

Conv2d conv(std::int64_t kernel, std::int64_t stride, std::int64_t dilation) {
  return {.weight = {1, 1, kernel, kernel, ones(kernel * kernel)},
          .bias = nullptr,
          .stride = stride,
          .padding = kernel / 2 * dilation,
          .dilation = dilation};
}

Conv2d unpadded(std::int64_t kernel, std::int64_t stride) {
  Conv2d layer = conv(kernel, stride, 1);
  layer.padding = 0;
  return layer;
}

// One layer behind the other, of one channel.
Graph chain(const std::vector<Layer>& layers) {
  Graph graph{.values = {{.channels = 1}}, .nodes = {}, .input = 0, .outputs = {}};
  for (const Layer& layer : layers) {
    const auto v = static_cast<ValueId>(graph.values.size());
    const std::string name = "layer" + std::to_string(v);
    graph.values.push_back({.channels = 1, .name = name});
    graph.nodes.push_back({name, layer, {v - 1}, v});
  }
  graph.outputs = {{"out", static_cast<ValueId>(graph.values.size()) - 1}};
  return graph;
}

Tensor by_references(const Graph& graph, const Tensor& input) {
  Tensor now(input.shape());
  std::copy(input.values().begin(), input.values().end(), now.values().begin());
  for (const Node& node : graph.nodes) {
    const Shape shapes[] = {now.shape()};
    Tensor next(output_shape(node.layer, shapes));
    const ConstView inputs[] = {now.view()};
    run_reference(node.layer, inputs, next.view());
    now = std::move(next);
  }
  return now;
}

// The pixels of the middle row that change the output at the map's middle, from the first to the last.
struct Seen {
  std::int64_t first, last, value;
};
Seen seen(const Graph& graph, std::int64_t side) {
  Tensor input = Tensor::zeros({1, side, side, 1});
  std::int64_t first = side, last = -1, value = 0;
  for (std::int64_t x = 0; x < side; ++x) {
    input.view().at(0, side / 2, x, 0) = 1;
    const Tensor out = by_references(graph, input);
    input.view().at(0, side / 2, x, 0) = 0;
    value = out.shape().w / 2;
    bool changed = false;  // in the column of the middle, whatever the row
    for (std::int64_t y = 0; y < out.shape().h; ++y) changed = changed || out.view().at(0, y, value, 0) != 0;
    if (!changed) continue;
    first = std::min(first, x);
    last = x;
  }
  return {first, last, value};
}

Program program_of(const Graph& graph) { return compile(graph, {}); }

std::vector<LayerFacts> facts_of(const Graph& graph, const Program& program, const Shape& input, Plan& plan) {
  plan = make_plan(program, input, 1);
  return layer_facts(graph, program, plan, input);
}

}  // namespace

TEST_CASE("a receptive field is as wide as the inputs that change an output, and lies where they are") {
  const std::vector<std::vector<Layer>> networks{
      {conv(3, 1, 1)},
      {conv(3, 1, 4)},
      {conv(7, 2, 1), MaxPool2d{3, 2, 1}, conv(3, 1, 1)},
      {conv(3, 2, 1), conv(3, 2, 1), conv(3, 1, 2)},
      {conv(3, 1, 1), conv(3, 1, 2), conv(5, 1, 1)},
      {MaxPool2d{2, 2, 0}, conv(1, 1, 1)},
      {conv(3, 2, 1), ConvTranspose2d{.weight = {1, 1, 2, 2, ones(4)}, .bias = nullptr, .stride = 2}},
      {conv(3, 2, 1),
       ConvTranspose2d{.weight = {1, 1, 4, 4, ones(16)}, .bias = nullptr, .stride = 2, .padding = 1}},
      {conv(3, 2, 1), Resize{.mode = ResizeMode::nearest, .factor = 2}, conv(1, 1, 1)},
      {unpadded(5, 2), MaxPool2d{2, 2, 0}},
      {unpadded(2, 2), unpadded(4, 1), conv(3, 2, 1)}};
  for (const auto& layers : networks) {
    const Graph graph = chain(layers);
    const Program program = program_of(graph);
    Plan plan;
    const auto facts = facts_of(graph, program, {1, 48, 48, 1}, plan);
    CAPTURE(name_of(layers.back()));
    CAPTURE(layers.size());
    const Seen pixels = seen(graph, 48);
    const ReceptiveField& field = facts.back().width;
    CHECK(std::lround(field.field) == pixels.last - pixels.first + 1);
    const double first = field.centre + static_cast<double>(pixels.value) * field.jump - field.field / 2;
    // An enlarged map's values see the same pixels two by two; their fields are as far apart as they are.
    CHECK(std::abs(first - static_cast<double>(pixels.first)) <= 0.5);
    CHECK(facts.back().height.field == facts.back().width.field);
    CHECK(!facts.back().width.all);
  }
}

TEST_CASE("behind a mean over the map a value sees all of it, and a bilinear resize reads two neighbours") {
  const Graph graph = chain({conv(3, 2, 1), Resize{.factor = 2}, AdaptiveAvgPool2d{1, 1}});
  const Program program = program_of(graph);
  Plan plan;
  const auto facts = facts_of(graph, program, {1, 32, 32, 1}, plan);
  CHECK(facts[1].width.field == 5);  // 3 and, a stride of 2 further on, 3 more
  CHECK(facts[1].width.jump == 1);
  CHECK(!facts[1].width.all);
  CHECK(facts[2].width.all);
}

TEST_CASE("ASPP's taps on a map of 65x65: 77% at rate 12, 57% at 24, 40% at 36") {
  // A tap at distance r lies on the map for 65 - r of 65 places along a side: (65 + 2 (65 - r)) / 195 of
  // them.
  for (const std::int64_t rate : {12, 24, 36}) {
    const Graph graph = chain({conv(3, 1, rate)});
    const Program program = program_of(graph);
    Plan plan;
    const auto facts = facts_of(graph, program, {1, 65, 65, 1}, plan);
    const double side = static_cast<double>(65 + 2 * (65 - rate)) / 195;
    CHECK(facts[0].taps_inside == doctest::Approx(side * side));
    CHECK(std::lround(100 * facts[0].taps_inside) == (rate == 12 ? 77 : rate == 24 ? 57 : 40));
  }
}

TEST_CASE("what the passes fold into a convolution runs in it") {
  Graph graph =
      chain({conv(3, 1, 1), BatchNorm{{2}, {1}}, Activation{ActivationKind::relu}, MaxPool2d{2, 2, 0}});
  const Program program = program_of(graph);
  Plan plan;
  const auto facts = facts_of(graph, program, {1, 8, 8, 1}, plan);
  REQUIRE(facts.size() == 4);
  REQUIRE(program.graph.nodes.size() == 2);
  for (int i : {0, 1, 2}) CHECK(facts[static_cast<std::size_t>(i)].runs_in == &program.graph.nodes[0]);
  CHECK(facts[3].runs_in == &program.graph.nodes[1]);
  CHECK(facts[3].kernel == "channelwise");
  CHECK(facts[0].macs == 8 * 8 * 9);
}

TEST_CASE("a layer is described in words, with the comment of its header") {
  CHECK(parameters_in_words(conv(3, 2, 4)) ==
        "3x3 kernel, 1 -> 1 channels, stride 2, padding 4, dilation 4, no bias");
  CHECK(parameters_in_words(MaxPool2d{3, 2, 1}) == "3x3 window, stride 2, padding 1");
  CHECK(parameters_in_words(Add{}) == "");
  for (const Layer& layer : {Layer(Conv2d{}),
                             Layer(ConvTranspose2d{}),
                             Layer(BatchNorm{}),
                             Layer(Activation{}),
                             Layer(MaxPool2d{}),
                             Layer(AdaptiveAvgPool2d{}),
                             Layer(Resize{}),
                             Layer(Crop{}),
                             Layer(Concat{}),
                             Layer(Add{}),
                             Layer(Mul{}),
                             Layer(Max{}),
                             Layer(Scale{}),
                             Layer(Softmax{}),
                             Layer(Encoding{}),
                             Layer(GroupNorm{}),
                             Layer(PositionAttention{}),
                             Layer(MaxUnpool2d{}),
                             Layer(L2Norm{}),
                             Layer(ExpandDepthwise{}),
                             Layer(GatedConv2d{}),
                             Layer(DoubledConv2d{})}) {
    CAPTURE(name_of(layer));
    const std::string text = text_of(layer);
    CHECK(text.starts_with("layers/ops/"));
    CHECK(text.size() > 100);
    CHECK(text.ends_with("\n"));
    CHECK(text.find("//") == text.npos);
  }
  CHECK(text_of(Conv2d{}).starts_with("layers/ops/conv2d.h\nConv2d: the convolution, and with dilation > 1"));
}

TEST_CASE("a graph in Graphviz's language has a box for each node and an arrow for each value read") {
  const Graph graph = chain({conv(3, 1, 1), MaxPool2d{2, 2, 0}});
  const Program program = program_of(graph);
  const std::string text = graph_in_dot(program, make_plan(program, {1, 8, 8, 1}, 1));
  CHECK(text.starts_with("digraph network {"));
  CHECK(text.find("v0 -> v1;") != text.npos);
  CHECK(text.find("v1 -> v2;") != text.npos);
  CHECK(text.find("v2 -> o2;") != text.npos);
  CHECK(text.find("layer2\nmax_pool2d, channelwise\n[1, 4, 4, 1]") != text.npos);
}

TEST_CASE("an arena's drawing says what every map in its own memory would take, and what the plan takes") {
  // Three maps of 256 KiB, two of which live at any time.
  const Graph graph = chain({MaxPool2d{3, 1, 1}, MaxPool2d{3, 1, 1}});
  const Program program = program_of(graph);
  const Plan plan = make_plan(program, {1, 256, 256, 1}, 1);
  const std::string drawing = arena_in_svg(program, plan);
  CHECK(drawing.starts_with("<svg "));
  CHECK(drawing.ends_with("</svg>\n"));
  CHECK(plan.activation_bytes == 2 * 256 * 256 * 4);
  CHECK(drawing.find("Before: every map in memory of its own, 0.5 MB") != drawing.npos);
  CHECK(drawing.find("After: the plan, 0.5 MB") != drawing.npos);
  CHECK(drawing.find("layer2, 0.3 MB") != drawing.npos);
}

TEST_CASE(
    "an arena's drawing has green for what lies in a wider map, of maps whose pixels a line parts too") {
  // Two convolutions whose outputs a concatenation of `channels` takes, and one behind it.
  const auto greens = [](std::int64_t channels) {
    const std::int64_t half = channels / 2;
    const auto conv_of = [](std::int64_t out, std::int64_t in) {
      return Conv2d{.weight = {out, in, 1, 1, ones(out * in)}, .bias = nullptr};
    };
    Graph graph{.values = {{.channels = 1}, {.channels = half}, {.channels = half}, {.channels = channels}},
                .nodes = {{"left", conv_of(half, 1), {0}, 1},
                          {"right", conv_of(half, 1), {0}, 2},
                          {"both", Concat{}, {1, 2}, 3},
                          {"wide", conv_of(channels, channels), {3}, 4},
                          {"last", conv_of(1, channels), {4}, 5}},
                .input = 0,
                .outputs = {{"out", 5}}};
    graph.values.resize(6);
    graph.values[4].channels = channels;
    graph.values[5].channels = 1;
    const Program program = program_of(graph);
    const std::string drawing = arena_in_svg(program, make_plan(program, {1, 4, 4, 1}, 1));
    std::string names;
    for (std::size_t at = 0; (at = drawing.find("\"#4ac26b\"", at)) != drawing.npos; ++at) {
      const std::size_t title = drawing.find("<title>", at) + 7;
      names += drawing.substr(title, drawing.find(',', title) - title) + ' ';
    }
    return names;
  };
  CHECK(greens(64) == "left right ");
  CHECK(greens(1024) == "left right ");
}

}  // namespace atrous::layer_facts_test
