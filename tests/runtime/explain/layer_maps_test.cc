// Values of layers, against every layer's reference one after the other and against what the publishers' code
// computed (../shared/data/networks, traces); ASPP's branches; what covering a part of a picture does.
#include "runtime/explain/layer_maps.h"

#include <doctest/doctest.h>

#include <cmath>
#include <map>
#include <numeric>

#include "layers/networks/segmentation.h"
#include "runtime/engine/program.h"
#include "runtime/explain/layer_facts.h"
#include "tests/support/conformance_testing.h"
#include "tests/support/runtime_testing.h"

namespace atrous::layer_maps_test {

using namespace atrous::conformance_testing;
using namespace atrous::runtime_testing;

namespace {

std::vector<ValueId> all_values(const Graph& graph) {
  std::vector<ValueId> values;
  for (const Node& node : graph.nodes) values.push_back(node.output);
  return values;
}

// Every value of the graph by its layer's reference, one after the other.
std::vector<Tensor> by_references(const Graph& graph, const Tensor& input) {
  std::vector<Tensor> all(graph.values.size());
  const auto view = [&](ValueId v) {
    return v == graph.input ? input.view() : all[static_cast<std::size_t>(v)].view();
  };
  for (const Node& node : graph.nodes) {
    std::vector<ConstView> inputs;
    std::vector<Shape> shapes;
    for (const ValueId v : node.inputs) {
      inputs.push_back(view(v));
      shapes.push_back(view(v).shape);
    }
    Tensor out(output_shape(node.layer, shapes));
    run_reference(node.layer, inputs, out.view());
    all[static_cast<std::size_t>(node.output)] = std::move(out);
  }
  return all;
}

Session session_of(Graph graph) {
  return Session(std::make_shared<const Program>(compile(std::move(graph), {})), {.threads = 1});
}

Graph published_graph(std::string_view variant) { return published_network(variant).network.graph; }

// A convolution of 1x1 whose first channel is red and whose second twice green.
Graph red_and_green() {
  const std::shared_ptr<float[]> weights(new float[6]{1, 0, 0, 0, 2, 0});
  Graph graph{
      .values = {{.channels = 3}, {.channels = 2, .name = "mix"}}, .nodes = {}, .input = 0, .outputs = {}};
  graph.nodes.push_back(
      {"mix", Conv2d{.weight = {2, 3, 1, 1, {weights, weights.get()}}, .bias = nullptr}, {0}, 1});
  return part_of(graph, std::vector<ValueId>{1});
}

}  // namespace

TEST_CASE("a part of a network gives each of its layers' values as the references do") {
  for (const Sample& sample : samples()) {
    CAPTURE(sample.name);
    const Graph whole = build_network(sample.state).graph;
    const Tensor input = noise({1, 33, 49, 3});
    const std::vector<Tensor> expected = by_references(whole, input);
    for (const Node& node : whole.nodes) {
      CAPTURE(node.name);
      const ValueId value[] = {node.output};
      const Graph part = part_of(whole, value);
      CHECK(part.nodes.back().name == node.name);
      CHECK(part.nodes.size() <= whole.nodes.size());
      Session session = session_of(part);
      session.run(input.view());
      CHECK(deviation(values(session.output(part_output(0))),
                      values(expected[static_cast<std::size_t>(node.output)].view())) < 2e-5);
    }
  }
}

TEST_CASE("all layers at once give the same") {
  const Graph whole = build_network(tiny_state("deeplabv3")).graph;
  const Tensor input = noise({1, 40, 24, 3});
  const std::vector<Tensor> expected = by_references(whole, input);
  Session session = session_of(part_of(whole, all_values(whole)));
  session.run(input.view());
  for (std::size_t i = 0; i < whole.nodes.size(); ++i)
    CHECK_MESSAGE(deviation(values(session.output(part_output(i))),
                            values(expected[static_cast<std::size_t>(whole.nodes[i].output)].view())) < 2e-5,
                  whole.nodes[i].name);
}

TEST_CASE("layers have the values that the publishers' code has, module by module") {
  if (!data_is_there()) return;
  for (const std::string name : {"deeplabv3-vainf-mobilenet-os16"}) {
    const fs::path folder = networks_folder / name;
    std::map<std::string, std::vector<Row>> trace;
    for (const Row& row : read_table(folder / "trace.tsv")) trace[row.at("module")].push_back(row);
    const Graph whole = build_network(state_of(folder), {.hyper = Hyper(str_cat("variant=", name))}).graph;
    Session session = session_of(part_of(whole, all_values(whole)));
    session.run(input_of(read_table(folder / "cases.tsv").front()).view());
    std::size_t compared = 0;
    for (std::size_t i = 0; i < whole.nodes.size(); ++i) {
      const auto found = trace.find(whole.nodes[i].name);
      if (found == trace.end() || found->second.size() != 1) continue;
      const Row& row = found->second.front();
      const ConstView map = session.output(part_output(i));
      if (row.at("shape") != str_cat(map.shape.n, 'x', map.shape.c, 'x', map.shape.h, 'x', map.shape.w))
        continue;
      CAPTURE(name);
      CAPTURE(whole.nodes[i].name);
      const std::vector<ChannelFacts> facts = channel_facts(map, whole.nodes[i].name);
      double mean = 0, largest = 0;
      for (const ChannelFacts& f : facts) {
        mean += f.mean / static_cast<double>(facts.size());
        largest = std::max<double>(largest, f.magnitude());
      }
      const double absmax = std::stod(row.at("absmax"));
      CHECK(std::abs(largest - absmax) <= 2e-5 * absmax);
      CHECK(std::abs(mean - std::stod(row.at("mean"))) <= 2e-5 * absmax);
      const std::vector<std::string> some = split(row.at("first3_and_last"), ' ');
      for (std::size_t x = 0; x < 3 && std::cmp_less(x, map.shape.w); ++x)
        CHECK(std::abs(static_cast<double>(map.pixel(0, 0, static_cast<std::int64_t>(x))[0]) -
                       std::stod(some[x])) <= 2e-5 * absmax);
      const float last = map.pixel(0, map.shape.h - 1, map.shape.w - 1)[map.shape.c - 1];
      CHECK(std::abs(static_cast<double>(last) - std::stod(some.back())) <= 2e-5 * absmax);
      ++compared;
    }
    MESSAGE(name, ": ", compared, " modules compared");
    CHECK(compared > 15);
  }
}

TEST_CASE("an ASPP is found by what its convolutions do, whatever the network") {
  struct Expected {
    const char* variant;
    std::vector<std::int64_t> rates;  // 0: the branch has no kernel larger than 1x1
  };
  const Expected all[] = {{"deeplabv3_resnet50", {0, 12, 24, 36, 0}},
                          {"deeplabv3_mobilenet_v3_large", {0, 12, 24, 36, 0}},
                          {"deeplabv3plus-vainf-resnet50-os16", {0, 6, 12, 18, 0}},
                          {"deeplabv3plus-jfzhang-xception-os16", {0, 6, 12, 18, 0}},
                          {"smp_deeplabv3plus_r34", {0, 12, 24, 36, 0}},
                          {"deeplabv2-kazuto-resnet101", {6, 12, 18, 24}},
                          {"deeplabv2-kazuto-resnet101-msc", {6, 12, 18, 24}}};
  for (const Expected& e : all) {
    CAPTURE(e.variant);
    const Graph graph = published_graph(e.variant);
    const std::vector<AsppBranch> branches = aspp_branches(graph);
    REQUIRE(branches.size() == e.rates.size());
    for (std::size_t i = 0; i < branches.size(); ++i) {
      CHECK((branches[i].conv != nullptr) == (e.rates[i] > 0));
      if (e.rates[i] > 0) CHECK(branches[i].dilation() == e.rates[i]);
      CHECK(branches[i].pools == (i == 4));
    }
  }
  const Graph torchvision = published_graph("deeplabv3_resnet50");
  const std::vector<AsppBranch> branches = aspp_branches(torchvision);
  CHECK(branches[3].last->name == "classifier.0.convs.3.1.relu");
  CHECK(branches[3].conv->name == "classifier.0.convs.3.0");
  CHECK(branches[4].last->name == "classifier.0.convs.4.resize");
  for (const char* none : {"fcn_resnet50", "lraspp_mobilenet_v3_large", "pspnet-semseg-resnet50",
                           "smp_unet_r34", "fcn8s-wkentaro", "encnet-resnet50s", "smp_pan_r34"}) {
    CAPTURE(none);
    CHECK(aspp_branches(published_graph(none)).empty());
  }
}

TEST_CASE("the branches of a part are those of the whole") {
  const Graph whole = published_graph("deeplabv3plus-vainf-resnet50-os16");
  std::vector<ValueId> values;
  std::vector<std::string> names;
  for (const AsppBranch& branch : aspp_branches(whole)) {
    values.push_back(branch.last->output);
    names.push_back(branch.last->name);
  }
  const Graph part = part_of(whole, values);
  const std::vector<AsppBranch> branches = aspp_branches(part);
  REQUIRE(branches.size() == names.size());
  for (std::size_t i = 0; i < names.size(); ++i) CHECK(branches[i].last->name == names[i]);
}

TEST_CASE("a channel's facts are its least, largest, mean and mean square distance from the mean") {
  Tensor map({1, 2, 2, 3});
  const float values[] = {1, -5, 7, 2, -5, 7, 3, -5, 7, 6, -5, 8};
  std::ranges::copy(values, map.data());
  const std::vector<ChannelFacts> facts = channel_facts(map.view(), "map");
  REQUIRE(facts.size() == 3);
  CHECK(facts[0].least == 1);
  CHECK(facts[0].largest == 6);
  CHECK(facts[0].mean == 3);
  CHECK(facts[0].variance == 3.5);  // (4 + 1 + 0 + 9) / 4
  CHECK(facts[1].magnitude() == 5);
  CHECK(facts[1].variance == 0);
  CHECK(facts[2].variance == 0.1875);
  const std::vector<ChannelFacts> two = strongest(facts, 2);
  REQUIRE(two.size() == 2);
  CHECK(two[0].channel == 0);
  CHECK(two[1].channel == 2);
  CHECK(strongest(facts, 9).size() == 3);
  map.data()[4] = NAN;
  CHECK_THROWS_WITH_AS(static_cast<void>(channel_facts(map.view(), "map")),
                       "map: channel 1 has values that are not finite", Error);
}

TEST_CASE("channels of several branches are compared by their shares of each branch's variance") {
  const auto facts = [](std::initializer_list<double> variances) {
    std::vector<ChannelFacts> all;
    for (const double v : variances) all.push_back({.channel = std::ssize(all), .variance = v});
    return all;
  };
  // Shares: 0.1, 0.2, 0.7 and 0.5, 0.5, 0; together 0.6, 0.7, 0.7. The third branch does not vary.
  const std::vector<std::vector<ChannelFacts>> branches{facts({10, 20, 70}), facts({3, 3, 0}),
                                                        facts({0, 0, 0})};
  CHECK(strongest_together(branches, 3) == std::vector<std::int64_t>{1, 2, 0});
  CHECK(strongest_together(branches, 1) == std::vector<std::int64_t>{1});
}

TEST_CASE("covering a cell changes the values that read it, by the distance over the length") {
  Session session = session_of(red_and_green());
  Image picture = make_image(6, 4, 3);  // red 100, green 50
  for (std::size_t i = 0; i < picture.pixels.size(); i += 3) {
    picture.pixels[i] = 100;
    picture.pixels[i + 1] = 50;
  }
  const Preparation plain{.mean = {0, 0, 0}, .std = {1, 1, 1}, .range = 255};
  int calls = 0, most = 0;
  const OcclusionOptions how{
      .y = 1, .x = 4, .cells = 3, .seen = {0, 0, 6, 4}, .progress = [&](int done, int all, double) {
        CHECK(done == calls++);
        most = all;
      }};
  const Occlusion o = occlude(session, picture, plain, how);
  CHECK(o.side == 2);
  CHECK(o.across == 3);
  CHECK(o.down == 2);
  CHECK(most == 6);
  REQUIRE(o.change.size() == 6);
  // (100, 2 * 50) becomes (128, 256): (28, 156) over (100, 100).
  for (std::size_t cell = 0; cell < 6; ++cell)
    CHECK(o.change[cell] == doctest::Approx(cell == 2 ? std::hypot(28, 156) / std::hypot(100, 100) : 0));
  OcclusionOptions narrow = how;
  narrow.seen = {4, 0, 6, 2};
  narrow.progress = [&](int, int all, double) { most = all; };
  CHECK(occlude(session, picture, plain, narrow).change == o.change);
  CHECK(most == 1);
  narrow.x = 6;
  CHECK_THROWS_WITH_AS(static_cast<void>(occlude(session, picture, plain, narrow)),
                       "the map is 6x4, there is no value 6,1", Error);
  narrow.cells = 7;
  CHECK_THROWS_WITH_AS(static_cast<void>(occlude(session, picture, plain, narrow)),
                       "occlusion: expected 1 to 6 cells along the longer side, found 7", Error);
}

TEST_CASE("what lies outside a value's receptive field changes it by rounding alone") {
  const Graph whole = build_network(tiny_state("deeplabv3")).graph;
  const auto node = std::ranges::find(whole.nodes, "backbone.layer1.0.bn2.relu", &Node::name);
  REQUIRE(node != whole.nodes.end());
  const ValueId value[] = {node->output};
  const Graph part = part_of(whole, value);
  const auto program = std::make_shared<const Program>(compile(part, {}));
  Session session(program, {.threads = 1});
  const Image picture = photo(96, 64);
  const Shape input{1, 64, 96, 3};
  const LayerFacts facts = layer_facts(part, *program, session.plan(input), input).back();
  const OcclusionOptions how{.y = 7, .x = 12, .cells = 24, .seen = {0, 0, 96, 64}};
  const Occlusion o = occlude(session, picture, {}, how);
  const auto outside = [&](int cell, int count, const ReceptiveField& field, std::int64_t at) {
    const double middle = field.centre + static_cast<double>(at) * field.jump;
    const double first = cell * count, last = first + count;
    return last <= middle - field.field / 2 || first >= middle + field.field / 2;
  };
  double within = 0;
  std::size_t far = 0;
  for (int row = 0; row < o.down; ++row)
    for (int column = 0; column < o.across; ++column) {
      const double change = o.change[static_cast<std::size_t>(row * o.across + column)];
      if (outside(column, o.side, facts.width, how.x) || outside(row, o.side, facts.height, how.y)) {
        CHECK(change < 1e-5);
        ++far;
      } else {
        within = std::max(within, change);
      }
    }
  CHECK(far > 100);
  CHECK(within > 0.1);
}

}  // namespace atrous::layer_maps_test
