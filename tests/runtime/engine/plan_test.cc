#include "runtime/engine/plan.h"

#include <doctest/doctest.h>

#include "layers/networks/segmentation.h"
#include "tests/support/runtime_testing.h"

namespace atrous::plan_test {

using namespace atrous::runtime_testing;

namespace {

const Shape sizes[] = {{1, 1, 1, 3},    {1, 8, 8, 3},   {1, 33, 65, 3}, {2, 24, 40, 3},
                       {1, 65, 129, 3}, {3, 17, 17, 3}, {1, 1, 200, 3}};

std::size_t index(ValueId v) { return static_cast<std::size_t>(v); }

std::vector<bool> in_place(const Plan& plan) {
  std::vector<bool> all;
  for (const Plan::Step& step : plan.steps) all.push_back(step.in_place);
  return all;
}

std::vector<const Kernel*> kernels_of(const Plan& plan) {
  std::vector<const Kernel*> all;
  for (const Plan::Step& step : plan.steps) all.push_back(step.kernel);
  return all;
}

// Whether a convolution writes its output over its residual, pixel for pixel.
bool lies_over_residual(const Node& node, const Graph& graph, const Plan& plan) {
  if (!std::holds_alternative<Conv2d>(node.layer) || node.inputs.size() < 2) return false;
  if (node.inputs[1] == graph.input) return false;
  const Plan::Place &residual = plan.places[index(node.inputs[1])], &out = plan.places[index(node.output)];
  return residual.offset == out.offset && residual.pitch == out.pitch && residual.shape == out.shape;
}

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
    if (!fits(graph_.input)) return "the input lies outside the arena";
    write(graph_.input);
    for (std::size_t i = 0; i < graph_.nodes.size(); ++i) {
      const Node& node = graph_.nodes[i];
      if (!fits(node.output)) return str_cat(node.name, ": its output lies outside the arena");
      if (!inputs_whole(node)) return str_cat(node.name, ": an input was overwritten before it ran");
      if (plan_.steps[i].in_place) {
        if (!laid_side_by_side(node)) return str_cat(node.name, ": its inputs are not its output's channels");
        write(node.output);
        if (!holds(node.output)) return str_cat(node.name, ": its inputs do not fill its output");
        continue;
      }
      write(node.output);
      Node spared = node;  // without the residual, which is read before it is overwritten
      if (lies_over_residual(node, graph_, plan_)) spared.inputs.pop_back();
      if (std::holds_alternative<Concat>(node.layer)) spared.inputs = copied(node);
      if (!inputs_whole(spared)) return str_cat(node.name, ": its output overwrites an input");
    }
    for (const auto& [name, v] : graph_.outputs)
      if (!holds(v)) return str_cat("output ", name, " was overwritten");
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
    return std::ranges::all_of(node.inputs, [&](ValueId v) { return holds(v); });
  }
  // The inputs of a concatenation that do not lie in its output already.
  std::vector<ValueId> copied(const Node& node) const {
    const Plan::Place& out = plan_.places[index(node.output)];
    std::vector<ValueId> all;
    std::size_t at = out.offset;
    for (ValueId v : node.inputs) {
      const Plan::Place& in = plan_.places[index(v)];
      if (in.offset != at || in.pitch != out.pitch) all.push_back(v);
      at += static_cast<std::size_t>(in.shape.c) * sizeof(float);
    }
    return all;
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
// of its own, and a convolution over its residual no output.
std::size_t least_bytes(const Graph& graph, const Plan& plan) {
  std::vector<std::size_t> last(graph.values.size());
  for (std::size_t i = 0; i < graph.nodes.size(); ++i)
    for (ValueId v : graph.nodes[i].inputs) last[index(v)] = i;
  for (const auto& [name, v] : graph.outputs) last[index(v)] = graph.nodes.size();
  std::size_t worst = 0;
  const Shape& input = plan.places[index(graph.input)].shape;
  for (std::size_t step = 0; step < graph.nodes.size(); ++step) {
    std::size_t alive = 0;
    if (last[index(graph.input)] >= step)
      alive += static_cast<std::size_t>(input.pixels() * input.c) * sizeof(float);
    for (std::size_t made = 0; made <= step; ++made) {
      const ValueId v = graph.nodes[made].output;
      const Shape& s = plan.places[index(v)].shape;
      const bool shares = plan.steps[made].in_place || lies_over_residual(graph.nodes[made], graph, plan);
      const bool counts = made == step ? !shares : last[index(v)] >= step;
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
        CAPTURE(str_cat(size));
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

TEST_CASE("DeepLab's four branches of maps are concatenated in place") {
  const Model model = tiny_model("deeplabv3");
  const Plan plan = make_plan(*model.program, {2, 33, 40, 3}, 1);
  int concatenations = 0;
  for (std::size_t i = 0; i < plan.steps.size(); ++i) {
    const Node& node = model.program->graph.nodes[i];
    const bool concat = std::holds_alternative<Concat>(node.layer);
    CHECK(plan.steps[i].in_place == concat);
    if (!concat) continue;
    ++concatenations;
    CHECK(node.inputs.size() == 4);
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
  CHECK(in_place(plan) == std::vector<bool>{false, false, false, false});
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
  CHECK(in_place(plan) == std::vector<bool>{false, false, true, false, true});
  CHECK(Arena(program.graph, plan).first_conflict() == "");
  const auto lines = [](std::size_t floats) { return (floats * sizeof(float) + 63) / 64 * 64; };
  CHECK(plan.activation_bytes == lines(2 * 4 * 5 * 9) + lines(2 * 4 * 5 * 3));  // the input beside it
}

TEST_CASE("the activation bytes reported are what the values take, within a tenth of the least possible") {
  for (const char* head : {"fcn", "deeplabv3"}) {
    const Model model = tiny_model(head);
    for (const Shape& size : sizes) {
      CAPTURE(head);
      CAPTURE(str_cat(size));
      const Plan plan = make_plan(*model.program, size, 1);
      std::size_t end = 0;
      for (const Plan::Place& p : plan.places) {
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

namespace {

const Conv2d& small_conv() {
  static const auto weights = std::make_shared<Tensor>(noise({1, 1, 1, 81}));
  static const Conv2d conv{.weight = {3, 3, 3, 3, {weights, weights->data()}}, .bias = nullptr, .padding = 1};
  return conv;
}

// Value 0 is the input; every node makes the next value.
Graph chain(std::vector<Node> nodes, std::vector<ValueId> outputs) {
  Graph g;
  g.values = {{3}};
  g.input = 0;
  for (Node& node : nodes) {
    std::int64_t channels = 3;
    if (std::holds_alternative<Concat>(node.layer)) {
      channels = 0;
      for (ValueId v : node.inputs) channels += g.values[index(v)].channels;
    }
    node.output = static_cast<ValueId>(g.values.size());
    g.values.push_back({channels});
  }
  g.nodes = std::move(nodes);
  for (ValueId v : outputs) g.outputs.emplace_back(str_cat("out", v), v);
  return g;
}

// All outputs of a graph, every layer by its reference.
std::vector<float> by_references(const Graph& graph, const Tensor& input) {
  const auto shapes = infer_shapes(graph, input.shape());
  std::vector<Tensor> made(graph.values.size());
  const auto view = [&](ValueId v) {
    return v == graph.input ? ConstView(input.view()) : ConstView(made[index(v)].view());
  };
  for (const Node& node : graph.nodes) {
    made[index(node.output)] = Tensor(shapes[index(node.output)]);
    std::vector<ConstView> inputs;
    for (ValueId v : node.inputs) inputs.push_back(view(v));
    run_reference(node.layer, inputs, made[index(node.output)].view());
  }
  std::vector<float> all;
  for (const auto& [name, v] : graph.outputs) {
    const auto out = values(view(v));
    all.insert(all.end(), out.begin(), out.end());
  }
  return all;
}

// The names of the convolutions that write over their residual. The plan must be free of conflicts, a run
// must give what the references give, and the input must survive it.
std::vector<std::string> over_residuals(const Graph& graph, const Shape& size = {2, 7, 9, 3}) {
  const Tensor input = noise(size, 5), copy = noise(size, 5);
  const auto expected = by_references(graph, input);
  const auto program = std::make_shared<const Program>(compile(graph, {}));
  const Plan plan = make_plan(*program, size, 1);
  CHECK(Arena(program->graph, plan).first_conflict() == "");

  Session session(program, {.threads = 1});
  session.run(input.view());
  std::vector<float> found;
  for (const auto& [name, v] : program->graph.outputs) {
    const auto out = values(session.output(name));
    found.insert(found.end(), out.begin(), out.end());
  }
  CHECK(deviation(found, expected) < 1e-5);
  CHECK(same_bits(values(input.view()), values(copy.view())));

  std::vector<std::string> names;
  for (const Node& node : program->graph.nodes)
    if (lies_over_residual(node, program->graph, plan)) names.push_back(node.name);
  return names;
}

using Names = std::vector<std::string>;

}  // namespace

TEST_CASE("a convolution that is the last to read its residual writes over it") {
  const Conv2d& conv = small_conv();
  const Graph g = chain({{"a", conv, {0}}, {"b", conv, {1}}, {"sum", conv, {2, 1}}}, {3});
  CHECK(over_residuals(g) == Names{"sum"});
  const Shape size{1, 4, 4, 3};
  CHECK(make_plan(compile(g, {}), size, 1).activation_bytes == 2 * 4 * 4 * 3 * sizeof(float));
}

TEST_CASE("sums of sums all lie in the same place, as in a ResNet's stage") {
  const Conv2d& conv = small_conv();
  const Graph g = chain({{"a", conv, {0}},
                         {"b", conv, {1}},
                         {"sum1", conv, {2, 1}},
                         {"c", conv, {3}},
                         {"sum2", conv, {4, 3}},
                         {"d", conv, {5}},
                         {"sum3", conv, {6, 5}}},
                        {7});
  CHECK(over_residuals(g) == Names{"sum1", "sum2", "sum3"});
  const Shape size{1, 4, 4, 3};
  CHECK(make_plan(compile(g, {}), size, 1).activation_bytes == 2 * 4 * 4 * 3 * sizeof(float));
}

TEST_CASE("a residual that is read again later is kept until then") {
  const Conv2d& conv = small_conv();
  CHECK(over_residuals(chain({{"a", conv, {0}},
                              {"b", conv, {1}},
                              {"sum", conv, {2, 1}},
                              {"c", conv, {3}},
                              {"last", conv, {4, 1}}},
                             {5})) == Names{"last"});
  CHECK(over_residuals(chain(
            {{"a", conv, {0}}, {"b", conv, {1}}, {"sum", conv, {2, 1}}, {"later", MaxPool2d{3, 1, 1}, {1}}},
            {3, 4})) == Names{});
}

TEST_CASE("a residual that is an output of the network is kept") {
  const Conv2d& conv = small_conv();
  CHECK(over_residuals(chain({{"a", conv, {0}}, {"b", conv, {1}}, {"sum", conv, {2, 1}}}, {1, 3})) ==
        Names{});
}

TEST_CASE("a convolution whose output is one of the network's writes over its residual all the same") {
  const Conv2d& conv = small_conv();
  CHECK(over_residuals(chain({{"a", conv, {0}}, {"b", conv, {1}}, {"sum", conv, {2, 1}}, {"c", conv, {3}}},
                             {3, 4})) == Names{"sum"});
}

TEST_CASE("the network's input is never written over") {
  const Conv2d& conv = small_conv();
  CHECK(over_residuals(chain({{"a", conv, {0}}, {"sum", conv, {1, 0}}}, {2})) == Names{});
}

TEST_CASE("a residual that is also what the convolution reads is not written over") {
  const Conv2d& conv = small_conv();
  CHECK(over_residuals(chain({{"a", conv, {0}}, {"sum", conv, {1, 1}}}, {2})) == Names{});
}

TEST_CASE("a residual of one pixel is written over only where the map is one pixel too") {
  const Conv2d& conv = small_conv();
  const Graph g =
      chain({{"a", conv, {0}}, {"mean", AdaptiveAvgPool2d{1, 1}, {1}}, {"sum", conv, {1, 2}}}, {3});
  CHECK(over_residuals(g) == Names{});
  CHECK(over_residuals(g, {3, 1, 1, 3}) == Names{"sum"});
}

TEST_CASE("an output that is a slice of a concatenation does not lie over the residual") {
  const Conv2d& conv = small_conv();
  CHECK(over_residuals(chain({{"a", conv, {0}},
                              {"b", conv, {1}},
                              {"sum", conv, {2, 1}},
                              {"other", conv, {0}},
                              {"concat", Concat{}, {3, 4}}},
                             {5})) == Names{});
}

TEST_CASE("of a concatenation what nobody else reads lies in place, where the rest was made before") {
  const Conv2d& conv = small_conv();
  const auto planned = [&](std::vector<ValueId> joined) {
    const Graph g = chain({{"a", conv, {0}}, {"b", conv, {1}}, {"ab", Concat{}, std::move(joined)}}, {3});
    CHECK(over_residuals(g) == Names{});
    Plan plan = make_plan(compile(g, {}), {2, 7, 9, 3}, 1);
    CHECK(!plan.steps[2].in_place);
    CHECK(plan.places[1].pitch == 3);  // read by b too, and copied
    CHECK(plan.places[2].pitch == 6);
    return plan;
  };
  const Plan first = planned({2, 1}), second = planned({1, 2});
  CHECK(first.places[2].offset == first.places[3].offset);
  CHECK(second.places[2].offset == second.places[3].offset + 3 * sizeof(float));
  // What is made before a map that is copied is copied too.
  const Graph early =
      chain({{"a", conv, {0}}, {"b", conv, {0}}, {"c", conv, {2}}, {"ab", Concat{}, {1, 2}}}, {3, 4});
  CHECK(over_residuals(early) == Names{});
  CHECK(make_plan(compile(early, {}), {2, 7, 9, 3}, 1).places[1].pitch == 3);
}

TEST_CASE("pixels never lie whole pages apart, unless they lie in a wider map") {
  const auto pitch = [](std::int64_t channels) {
    const auto weights = std::make_shared<Tensor>(noise({1, 1, 1, 3 * channels}));
    const Conv2d wide{.weight = {channels, 3, 1, 1, {weights, weights->data()}}, .bias = nullptr};
    const Plan plan = make_plan(compile(chain({{"a", wide, {0}}}, {1}), {}), {1, 2, 3, 3}, 1);
    CHECK(plan.activation_bytes >= static_cast<std::size_t>(6 * plan.places[1].pitch) * sizeof(float));
    return plan.places[1].pitch;
  };
  for (const std::int64_t channels : {1, 512, 1023, 1025, 1536}) CHECK(pitch(channels) == channels);
  for (const std::int64_t channels : {1024, 2048, 3072}) CHECK(pitch(channels) == channels + 16);
}

TEST_CASE("U-Net's doubled maps are not written, nor anything joined with them") {
  const Model model =
      make_model(seeded_state("smp_unet_r18", {.classes = 2, .width = 8}), std::nullopt, {.threads = 1});
  const Graph& graph = model.program->graph;
  const Plan plan = make_plan(*model.program, {1, 64, 96, 3}, 1);
  CHECK(Arena(graph, plan).first_conflict() == "");
  Names doubled;
  for (const Node& node : graph.nodes) {
    CHECK_FALSE(std::holds_alternative<Concat>(node.layer));
    CHECK_FALSE(std::holds_alternative<Resize>(node.layer));
    if (std::holds_alternative<DoubledConv2d>(node.layer)) doubled.push_back(node.name);
  }
  CHECK(doubled == Names{"decoder.blocks.0.conv1.0.doubled", "decoder.blocks.1.conv1.0.doubled",
                         "decoder.blocks.2.conv1.0.doubled", "decoder.blocks.3.conv1.0.doubled",
                         "decoder.blocks.4.conv1.0"});
  // What is made of a doubled map is written over by the convolution of what was joined with it.
  int sums = 0;
  for (const Node& node : graph.nodes) {
    if (node.inputs.size() < 2 || !node.name.starts_with("decoder.")) continue;
    CAPTURE(node.name);
    CHECK(lies_over_residual(node, graph, plan));
    ++sums;
  }
  CHECK(sums == 4);
}

TEST_CASE("a residual that is a concatenation is written over, and its branches with it") {
  const Conv2d& conv = small_conv();
  const auto weights = std::make_shared<Tensor>(noise({1, 1, 1, 6 * 3 * 9}, 8));
  const Conv2d widening{.weight = {6, 3, 3, 3, {weights, weights->data()}}, .bias = nullptr, .padding = 1};
  Graph g = chain({{"a", conv, {0}},
                   {"b", conv, {0}},
                   {"c", conv, {0}},
                   {"concat", Concat{}, {1, 2}},
                   {"sum", widening, {3, 4}}},
                  {5});
  g.values[5].channels = 6;
  CHECK(over_residuals(g) == Names{"sum"});
}

TEST_CASE("a residual that a concatenation has copied is written over, one that it has yet to read is not") {
  const Conv2d& conv = small_conv();
  CHECK(over_residuals(chain({{"a", conv, {0}},
                              {"b", conv, {1}},
                              {"concat", Concat{}, {1, 2}},
                              {"c", conv, {2}},
                              {"sum", conv, {4, 1}}},
                             {3, 5})) == Names{"sum"});
  CHECK(over_residuals(chain({{"a", conv, {0}},
                              {"b", conv, {1}},
                              {"c", conv, {2}},
                              {"sum", conv, {3, 1}},
                              {"concat", Concat{}, {1, 2}}},
                             {4, 5})) == Names{});
}

TEST_CASE("in the networks every sum lies over its residual") {
  for (const bool aux : {false, true}) {
    CAPTURE(aux);
    const Model model =
        make_model(seeded_state("fcn_resnet(2,3,2,2)", {.classes = 3, .width = 4, .aux = aux}), std::nullopt,
                   {.aux = aux, .threads = 1});
    const Graph& graph = model.program->graph;
    const Plan plan = make_plan(*model.program, {1, 33, 40, 3}, 1);
    CHECK(Arena(graph, plan).first_conflict() == "");
    int sums = 0, over = 0;
    for (const Node& node : graph.nodes) {
      if (!std::holds_alternative<Conv2d>(node.layer) || node.inputs.size() < 2) continue;
      ++sums;
      over += lies_over_residual(node, graph, plan);
    }
    CHECK(sums == 2 + 3 + 2 + 2);
    CHECK(over == sums);
  }
}

namespace {

std::vector<Shape> input_shapes(const Node& node, const Plan& plan) {
  std::vector<Shape> shapes;
  for (ValueId v : node.inputs) shapes.push_back(plan.places[index(v)].shape);
  return shapes;
}

const Shape& output_shape(const Node& node, const Plan& plan) {
  return plan.places[index(node.output)].shape;
}

// What a kernel says a node costs it for one image.
double cost_of(const Kernel& kernel, const Node& node, const Plan& plan) {
  auto inputs = input_shapes(node, plan);
  for (Shape& s : inputs) s.n = 1;
  const Shape& out = output_shape(node, plan);
  return kernel.cost(inputs, {1, out.h, out.w, out.c});
}

std::size_t least_workspace(const Kernel& kernel, const Node& node, const Plan& plan, int threads) {
  return kernel.least_workspace_bytes(input_shapes(node, plan), output_shape(node, plan), threads);
}

// Layers of 16 to 256 channels: large enough for all kernels of the list to be considered.
const Model& wide_model() {
  static const Model model =
      make_model(seeded_state("deeplabv3_resnet(1,1,2,1)", {.classes = 5, .width = 16, .aux = false}),
                 std::nullopt, {.threads = 1});
  return model;
}

}  // namespace

TEST_CASE("of every node's kernels the cheapest runs") {
  const Program& program = *wide_model().program;
  std::size_t winograd = 0;
  for (const Shape& size : {Shape{1, 40, 56, 3}, Shape{1, 160, 200, 3}, Shape{2, 8, 8, 3}}) {
    CAPTURE(str_cat(size));
    const Plan plan = make_plan(program, size, 2);
    REQUIRE(plan.steps.size() == program.graph.nodes.size());
    for (std::size_t i = 0; i < plan.steps.size(); ++i) {
      const Node& node = program.graph.nodes[i];
      CAPTURE(node.name);
      const double cost = cost_of(*plan.steps[i].kernel, node, plan);
      bool own = false;
      for (const auto& kernel : node.kernels) {
        CHECK(cost <= cost_of(*kernel, node, plan));
        own = own || kernel.get() == plan.steps[i].kernel;
      }
      CHECK(own);
      winograd += plan.steps[i].kernel->name().starts_with("winograd");
    }
  }
  CHECK(winograd > 0);
}

TEST_CASE("which kernel runs does not depend on the batch or on the threads") {
  const Program& program = *wide_model().program;
  const Plan one = make_plan(program, {1, 160, 200, 3}, 1);
  for (const std::int64_t batch : {1, 2, 5})
    for (const int threads : {1, 2, 7}) {
      CAPTURE(batch);
      CAPTURE(threads);
      CHECK(kernels_of(make_plan(program, {batch, 160, 200, 3}, threads)) == kernels_of(one));
    }
}

TEST_CASE("under a memory limit the cheapest kernel runs of those that keep within it") {
  const Program& program = *wide_model().program;
  const Shape size{1, 72, 88, 3};
  for (const int threads : {1, 3}) {
    const Plan free = make_plan(program, size, threads);
    const std::size_t taken = program.packed_bytes() + free.activation_bytes;
    bool exchanged = false;
    for (int step = 16; step >= 0; --step) {
      const std::size_t allowance = free.workspace_bytes * static_cast<std::size_t>(step) / 16;
      CAPTURE(threads);
      CAPTURE(allowance);
      const Plan plan = make_plan(program, size, threads, taken + allowance);
      CHECK(plan.activation_bytes == free.activation_bytes);
      for (std::size_t i = 0; i < plan.steps.size(); ++i) {
        const Node& node = program.graph.nodes[i];
        CAPTURE(node.name);
        const Plan::Step& chosen = plan.steps[i];
        const double cost = cost_of(*chosen.kernel, node, plan);
        const std::size_t least = least_workspace(*chosen.kernel, node, plan, 1);
        CHECK(chosen.workspace >= least_workspace(*chosen.kernel, node, plan, chosen.threads));
        CHECK(chosen.workspace <= std::max(allowance, least));
        if (chosen.threads < threads)
          CHECK(least_workspace(*chosen.kernel, node, plan, chosen.threads + 1) > allowance);
        for (const auto& kernel : node.kernels) {
          const std::size_t other = least_workspace(*kernel, node, plan, 1);
          if (other <= allowance)
            CHECK((least <= allowance && cost <= cost_of(*kernel, node, plan)));
          else if (least > allowance)
            CHECK(least <= other);
        }
        exchanged = exchanged || chosen.kernel != free.steps[i].kernel;
      }
    }
    CHECK(exchanged);
  }
}

TEST_CASE("which kernel runs does not depend on the threads under a memory limit either") {
  for (const Sample& sample : samples()) {
    CAPTURE(sample.name);
    const Model model = make_model(sample.state, std::nullopt, {.threads = 1});
    const Program& program = *model.program;
    for (const Shape& size : {Shape{1, 72, 88, 3}, Shape{2, 33, 40, 3}}) {
      const Plan free = make_plan(program, size, 64);
      const std::size_t taken = program.packed_bytes() + free.activation_bytes;
      std::size_t fewer = 0;
      for (std::size_t allowance = free.workspace_bytes; allowance > 0; allowance = allowance * 3 / 4) {
        CAPTURE(allowance);
        const Plan one = make_plan(program, size, 1, taken + allowance);
        for (const int threads : {2, 7, 64}) {
          const Plan many = make_plan(program, size, threads, taken + allowance);
          CHECK(kernels_of(many) == kernels_of(one));
          CHECK(many.workspace_bytes <= std::max(one.workspace_bytes, allowance));
          fewer += std::ranges::min(many.steps, {}, &Plan::Step::threads).threads < threads;
        }
      }
      CHECK(fewer > 0);
    }
  }
}

TEST_CASE("a memory limit that leaves room for all changes nothing") {
  const Program& program = *wide_model().program;
  const Shape size{1, 40, 56, 3};
  const Plan free = make_plan(program, size, 2);
  const Plan plan = make_plan(program, size, 2, program.packed_bytes() + free.arena_bytes());
  CHECK(plan.steps == free.steps);
  CHECK(plan.arena_bytes() == free.arena_bytes());
}

TEST_CASE("the workspace is the greediest kernel's, and grows with the threads at most in proportion") {
  const Model model = tiny_model("deeplabv3");
  const auto& nodes = model.program->graph.nodes;
  const Shape size{1, 40, 56, 3};
  const Plan one = make_plan(*model.program, size, 1), four = make_plan(*model.program, size, 4);
  REQUIRE(one.steps.size() == nodes.size());
  std::size_t greediest = 0;
  for (std::size_t i = 0; i < nodes.size(); ++i) {
    std::vector<Shape> inputs;
    for (ValueId v : nodes[i].inputs) inputs.push_back(one.places[index(v)].shape);
    CHECK(one.steps[i].workspace ==
          one.steps[i].kernel->workspace_bytes(inputs, one.places[index(nodes[i].output)].shape, 1));
    greediest = std::max(greediest, one.steps[i].workspace);
  }
  CHECK(one.workspace_bytes == greediest);
  CHECK(one.arena_bytes() == one.activation_bytes + one.workspace_bytes);
  CHECK(four.activation_bytes == one.activation_bytes);
  CHECK(four.workspace_bytes >= one.workspace_bytes);
  CHECK(four.workspace_bytes <= 4 * one.workspace_bytes + 4096);
}

TEST_CASE("multiply-accumulates are those of the network before it was optimised, the pooled pixel's once") {
  const Shape size{2, 33, 40, 3};
  const Graph graph = build_network(tiny_state("deeplabv3")).graph;
  const auto shapes = infer_shapes(graph, size);
  std::int64_t expected = 0;
  for (const Node& node : graph.nodes) {
    expected += macs(node, shapes);
    if (!std::holds_alternative<Concat>(node.layer)) continue;
    // The projection convolves the last of the concatenated values, a pixel repeated, once per image.
    const std::int64_t channels = shapes[index(node.inputs.back())].c;
    const Shape& map = shapes[index(node.output)];
    expected -= map.n * (map.h * map.w - 1) * channels * channels;
  }
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

}  // namespace atrous::plan_test
