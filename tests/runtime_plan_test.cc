#include "runtime/plan.h"

#include <doctest/doctest.h>

#include "tests/runtime_testing.h"

using namespace atrous;
using namespace atrous::runtime_testing;

namespace {

const Shape sizes[] = {{1, 1, 1, 3},    {1, 8, 8, 3},   {1, 33, 65, 3}, {2, 24, 40, 3},
                       {1, 65, 129, 3}, {3, 17, 17, 3}, {1, 1, 200, 3}};

std::size_t index(ValueId v) { return static_cast<std::size_t>(v); }

// The arena as a map from each float to the value it belongs to.
class Arena {
 public:
  Arena(const Graph& graph, const Plan& plan) : graph_(graph), plan_(plan) {
    owners_.assign(plan.activation_bytes / sizeof(float), nobody);
  }

  bool fits(ValueId v) const {
    const Plan::Place& p = plan_.places[index(v)];
    const std::int64_t end = (p.shape.pixels() - 1) * p.pitch + p.shape.c;
    return p.offset % sizeof(float) == 0 && p.pitch >= p.shape.c &&
           p.offset + static_cast<std::size_t>(end) * sizeof(float) <= plan_.activation_bytes;
  }
  void write(ValueId v) {
    each(v, [v](ValueId& owner) { owner = v; });
  }
  bool holds(ValueId v) {
    bool whole = true;
    each(v, [&](ValueId& owner) { whole = whole && owner == v; });
    return whole;
  }

  // Follows a run node by node; "" if every value is whole whenever it is read.
  std::string first_conflict() {
    for (std::size_t i = 0; i < graph_.nodes.size(); ++i) {
      const Node& node = graph_.nodes[i];
      if (!fits(node.output)) return text(node.name, ": its output lies outside the arena");
      if (!inputs_whole(node)) return text(node.name, ": an input was overwritten before it ran");
      if (plan_.in_place[i]) {
        if (!laid_side_by_side(node)) return text(node.name, ": its inputs are not its output's channels");
        write(node.output);
        if (!holds(node.output)) return text(node.name, ": its inputs do not fill its output");
        continue;
      }
      write(node.output);
      if (!inputs_whole(node)) return text(node.name, ": its output overwrites an input");
    }
    for (const auto& [name, v] : graph_.outputs)
      if (!holds(v)) return text("output ", name, " was overwritten");
    return "";
  }

 private:
  static constexpr ValueId nobody = -1;

  template <class Each>
  void each(ValueId v, Each&& action) {
    const Plan::Place& p = plan_.places[index(v)];
    for (std::int64_t pixel = 0; pixel < p.shape.pixels(); ++pixel)
      for (std::int64_t c = 0; c < p.shape.c; ++c)
        action(owners_.at(p.offset / sizeof(float) + static_cast<std::size_t>(pixel * p.pitch + c)));
  }
  bool inputs_whole(const Node& node) {
    return std::ranges::all_of(node.inputs, [&](ValueId v) { return v == graph_.input || holds(v); });
  }
  bool laid_side_by_side(const Node& node) const {
    const Plan::Place& out = plan_.places[index(node.output)];
    std::int64_t channel = 0;
    for (ValueId v : node.inputs) {
      const Plan::Place& in = plan_.places[index(v)];
      if (in.pitch != out.pitch ||
          in.offset != out.offset + static_cast<std::size_t>(channel) * sizeof(float))
        return false;
      channel += in.shape.c;
    }
    return channel == out.shape.c;
  }

  const Graph& graph_;
  const Plan& plan_;
  std::vector<ValueId> owners_;
};

// Bytes of the values that must exist at once, at the worst step. A concatenation done in place has no inputs
// of its own.
std::size_t least_bytes(const Graph& graph, const Plan& plan) {
  std::vector<std::size_t> last(graph.values.size());
  for (std::size_t i = 0; i < graph.nodes.size(); ++i)
    for (ValueId v : graph.nodes[i].inputs) last[index(v)] = i;
  for (const auto& [name, v] : graph.outputs) last[index(v)] = graph.nodes.size();
  std::size_t worst = 0;
  for (std::size_t step = 0; step < graph.nodes.size(); ++step) {
    std::size_t alive = 0;
    for (std::size_t made = 0; made <= step; ++made) {
      const ValueId v = graph.nodes[made].output;
      const Shape& s = plan.places[index(v)].shape;
      const bool counts = made == step ? !plan.in_place[made] : last[index(v)] >= step;
      if (counts) alive += static_cast<std::size_t>(s.pixels() * s.c) * sizeof(float);
    }
    worst = std::max(worst, alive);
  }
  return worst;
}

}  // namespace

TEST_CASE("no two values that are alive at the same time share memory") {
  for (const char* head : {"fcn", "deeplabv3"})
    for (const bool aux : {false, true}) {
      const Model model = tiny_model(head, {.aux = aux, .threads = 1});
      for (const Shape& size : sizes) {
        CAPTURE(head);
        CAPTURE(aux);
        CAPTURE(text(size));
        const Plan plan = make_plan(*model.program, size, 1);
        CHECK(Arena(model.program->graph, plan).first_conflict() == "");
      }
    }
}

TEST_CASE("a deep network's plan has no conflict either") {
  const Model model = make_model(seeded_state("deeplabv3_resnet50", {.classes = 2, .width = 4, .aux = false}),
                                 std::nullopt, {.threads = 1});
  CHECK(Arena(model.program->graph, make_plan(*model.program, {1, 24, 40, 3}, 1)).first_conflict() == "");
}

TEST_CASE("DeepLab's five branches are concatenated in place") {
  const Model model = tiny_model("deeplabv3");
  const Plan plan = make_plan(*model.program, {2, 33, 40, 3}, 1);
  int concatenations = 0;
  for (std::size_t i = 0; i < plan.in_place.size(); ++i) {
    const Node& node = model.program->graph.nodes[i];
    const bool concat = std::holds_alternative<Concat>(node.layer);
    CHECK(plan.in_place[i] == concat);
    if (!concat) continue;
    ++concatenations;
    CHECK(node.inputs.size() == 5);
  }
  CHECK(concatenations == 1);
}

TEST_CASE("a concatenation stays a copy where something else reads one of its inputs") {
  const auto weights = std::make_shared<Tensor>(noise({1, 1, 1, 9}));
  const Conv2d conv{.weight = {3, 3, 1, 1, {weights, weights->data()}}, .bias = nullptr};
  Graph g;
  g.values = {{3}, {3}, {3}, {6}, {6}};
  g.input = 0;
  g.nodes = {
      {"a", conv, {0}, 1}, {"b", conv, {0}, 2}, {"ab", Concat{}, {1, 2}, 3}, {"aa", Concat{}, {1, 1}, 4}};
  g.outputs = {{"out", 3}, {"twice", 4}};
  const Program program = compile(g, {});
  const Plan plan = make_plan(program, {1, 4, 5, 3}, 1);
  CHECK(plan.in_place == std::vector<bool>{false, false, false, false});
  CHECK(Arena(program.graph, plan).first_conflict() == "");
}

TEST_CASE("an output made early is kept to the end") {
  const auto weights = std::make_shared<Tensor>(noise({1, 1, 1, 9}));
  const Conv2d conv{.weight = {3, 3, 1, 1, {weights, weights->data()}}, .bias = nullptr};
  Graph g;
  g.values = {{3}, {3}, {3}, {3}, {3}};
  g.input = 0;
  g.nodes = {{"early", conv, {0}, 1}, {"a", conv, {0}, 2}, {"b", conv, {2}, 3}, {"late", conv, {3}, 4}};
  g.outputs = {{"early", 1}, {"out", 4}};
  const Program program = compile(g, {});
  const Plan plan = make_plan(program, {1, 4, 4, 3}, 1);
  CHECK(Arena(program.graph, plan).first_conflict() == "");
  CHECK(plan.activation_bytes == 3 * 4 * 4 * 3 * sizeof(float));  // early and two of the chain
}

TEST_CASE("concatenations of concatenations lie in place too") {
  const auto weights = std::make_shared<Tensor>(noise({1, 1, 1, 9}));
  const Conv2d conv{.weight = {3, 3, 1, 1, {weights, weights->data()}}, .bias = nullptr};
  Graph g;
  g.values = {{3}, {3}, {3}, {6}, {3}, {9}};
  g.input = 0;
  g.nodes = {{"a", conv, {0}, 1},
             {"b", conv, {0}, 2},
             {"ab", Concat{}, {1, 2}, 3},
             {"c", conv, {0}, 4},
             {"cab", Concat{}, {4, 3}, 5}};
  g.outputs = {{"out", 5}};
  const Program program = compile(g, {});
  const Plan plan = make_plan(program, {2, 4, 5, 3}, 1);
  CHECK(plan.in_place == std::vector<bool>{false, false, true, false, true});
  CHECK(Arena(program.graph, plan).first_conflict() == "");
  CHECK(plan.activation_bytes == (2 * 4 * 5 * 9 * sizeof(float) + 63) / 64 * 64);
}

TEST_CASE("the activation bytes reported are what the values take, within a tenth of the least possible") {
  for (const char* head : {"fcn", "deeplabv3"}) {
    const Model model = tiny_model(head);
    for (const Shape& size : sizes) {
      CAPTURE(head);
      CAPTURE(text(size));
      const Plan plan = make_plan(*model.program, size, 1);
      std::size_t end = 0;
      for (const Node& node : model.program->graph.nodes) {
        const Plan::Place& p = plan.places[index(node.output)];
        end =
            std::max(end, p.offset + static_cast<std::size_t>((p.shape.pixels() - 1) * p.pitch + p.shape.c) *
                                         sizeof(float));
      }
      CHECK(plan.activation_bytes == (end + 63) / 64 * 64);
      const std::size_t least = least_bytes(model.program->graph, plan);
      CHECK(plan.activation_bytes >= least);
      CHECK(static_cast<double>(plan.activation_bytes) <= 1.1 * static_cast<double>(least) + 4096);
    }
  }
}

TEST_CASE("the workspace is the greediest kernel's, and grows with the threads at most in proportion") {
  const Model model = tiny_model("deeplabv3");
  const auto& nodes = model.program->graph.nodes;
  const Shape size{1, 40, 56, 3};
  const Plan one = make_plan(*model.program, size, 1), four = make_plan(*model.program, size, 4);
  REQUIRE(one.workspace.size() == nodes.size());
  std::size_t greediest = 0;
  for (std::size_t i = 0; i < nodes.size(); ++i) {
    std::vector<Shape> inputs;
    for (ValueId v : nodes[i].inputs) inputs.push_back(one.places[index(v)].shape);
    CHECK(one.workspace[i] ==
          model.program->kernels[i]->workspace_bytes(inputs, one.places[index(nodes[i].output)].shape, 1));
    greediest = std::max(greediest, one.workspace[i]);
  }
  CHECK(one.workspace_bytes == greediest);
  CHECK(one.arena_bytes() == one.activation_bytes + one.workspace_bytes);
  CHECK(four.activation_bytes == one.activation_bytes);
  CHECK(four.workspace_bytes >= one.workspace_bytes);
  CHECK(four.workspace_bytes <= 4 * one.workspace_bytes + 4096);
}

TEST_CASE("multiply-accumulates are those of the network before it was optimised") {
  const Shape size{2, 33, 40, 3};
  const Graph graph = build_network(tiny_state("deeplabv3")).graph;
  const auto shapes = infer_shapes(graph, size);
  std::int64_t expected = 0;
  for (const Node& node : graph.nodes) expected += macs(node, shapes);
  CHECK(expected > 0);
  CHECK(make_plan(*tiny_model("deeplabv3").program, size, 1).macs == expected);
}

TEST_CASE("a shape that the network cannot take is refused with both numbers") {
  const Model model = tiny_model("fcn");
  const auto plan = [&](const Shape& s) { return [&model, s] { make_plan(*model.program, s, 1); }; };
  const std::string channels = sentence(ErrorCode::invalid_argument, plan({1, 8, 8, 4}));
  CHECK(mentions(channels, "backbone.conv1"));
  CHECK(mentions(channels, "3"));
  CHECK(mentions(channels, "4"));
  CHECK(sentence(ErrorCode::limit, plan({1, 0, 8, 3})) != "");
  CHECK(sentence(ErrorCode::limit, plan({1, -8, 8, 3})) != "");
  CHECK(sentence(ErrorCode::limit, plan({1, std::int64_t{1} << 31, std::int64_t{1} << 31, 3})) != "");
  CHECK(sentence(ErrorCode::limit, plan({std::int64_t{1} << 40, 1 << 10, 1 << 10, 3})) != "");
}
