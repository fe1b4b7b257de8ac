// MobileNetV3 with its heads, built from synthetic checkpoints, and compared with torchvision feature by
// feature.
#include "layers/networks/backbones/mobilenet_v3.h"

#include <doctest/doctest.h>

#include <set>
#include <sstream>

#include "tests/support/golden.h"
#include "tests/support/layers_checkpoint.h"

namespace atrous::mobilenet_test {

namespace {

struct Net {
  bool large = true, lraspp = true, aux = false;
  std::int64_t classes = 5;
};

// Every map has `width` channels but the last; blocks expand to twice that. One block in three has no
// squeeze-excitation, the first does not expand.
constexpr std::int64_t width = 4, last_width = 24;

void add_conv_norm(RawCheckpoint& c, const std::string& name, std::int64_t out, std::int64_t in,
                   std::int64_t kernel) {
  c.conv(name + ".0", out, in, kernel);
  c.norm(name + ".1", out);
}

void add_block(RawCheckpoint& c, const std::string& name, std::int64_t kernel, bool expands, bool excites) {
  const std::int64_t inner = expands ? 2 * width : width;
  int module = 0;
  const auto next = [&] { return str_cat(name, ".block.", module++); };
  if (expands) add_conv_norm(c, next(), inner, width, 1);
  add_conv_norm(c, next(), inner, 1, kernel);
  if (excites) {
    const std::string gate = next();
    c.conv(gate + ".fc1", 3, inner, 1, true);
    c.conv(gate + ".fc2", inner, 3, 1, true);
  }
  add_conv_norm(c, next(), width, inner, 1);
}

RawCheckpoint checkpoint(const Net& net) {
  RawCheckpoint c;
  const int blocks = net.large ? 15 : 11;
  add_conv_norm(c, "backbone.0", width, 3, 3);
  for (int b = 1; b <= blocks; ++b) add_block(c, str_cat("backbone.", b), b % 2 ? 3 : 5, b > 1, b % 3 != 0);
  add_conv_norm(c, str_cat("backbone.", blocks + 1), last_width, width, 1);
  if (net.lraspp) {
    add_conv_norm(c, "classifier.cbr", 6, last_width, 1);
    c.conv("classifier.scale.1", 6, last_width, 1);
    c.conv("classifier.low_classifier", net.classes, width, 1, true);
    c.conv("classifier.high_classifier", net.classes, 6, 1, true);
  } else {
    c.conv("classifier.0", 6, last_width, 3);
    c.norm("classifier.1", 6);
    c.conv("classifier.4", net.classes, 6, 1, true);
  }
  if (net.aux) {
    c.conv("aux_classifier.0", 1, width, 3);
    c.norm("aux_classifier.1", 1);
    c.conv("aux_classifier.4", net.classes, 1, 1, true);
  }
  return c;
}

Network build(const Net& net = {}, const NetworkOptions& options = {}) {
  return build_network(checkpoint(net).state(), options);
}

// make_goldens.py's formula().
std::vector<double> formula(std::string_view key, std::int64_t count) {
  std::uint32_t state = 2166136261u;
  for (char byte : key) state = (state ^ static_cast<unsigned char>(byte)) * 16777619u;
  std::vector<double> values;
  for (std::int64_t i = 0; i < count; ++i) {
    state = state * 1664525u + 1013904223u;
    values.push_back(static_cast<double>(state >> 8) / 16777216);
  }
  return values;
}

// make_goldens.py's formula_parameter().
StateTensor formula_parameter(const std::string& key, const std::vector<std::int64_t>& shape) {
  std::int64_t count = 1;
  for (std::int64_t d : shape) count *= d;
  const auto values = std::make_shared<std::vector<float>>();
  for (double u : formula(key, count)) {
    double v = 0.4 * u - 0.2;
    if (shape.size() == 4)
      v = (2 * u - 1) * std::sqrt(6.0 / static_cast<double>(shape[1] * shape[2] * shape[3]));
    else if (key.ends_with("running_var"))
      v = 0.5 + u;
    else if (key.ends_with("weight"))
      v = 0.7 + 0.6 * u;
    values->push_back(static_cast<float>(v));
  }
  return {DType::f32, shape, {values, reinterpret_cast<const std::byte*>(values->data())}};
}

// The settings of a golden case are keys with their shapes: "8x3x3x3".
StateDict golden_state(const Golden& g) {
  StateDict state;
  for (const auto& [key, sizes] : g.settings) {
    std::vector<std::int64_t> shape;
    std::istringstream in(sizes);
    for (std::string size; std::getline(in, size, 'x');) shape.push_back(std::stoll(size));
    state.add(key, formula_parameter(key, shape));
  }
  return state;
}

// The values of every node, each computed by its reference.
std::vector<Tensor> run_references(const Graph& graph, const Tensor& input) {
  const auto shapes = infer_shapes(graph, input.shape());
  std::vector<Tensor> values(shapes.size());
  const auto view = [&](ValueId v) {
    return v == graph.input ? input.view() : ConstView(values[static_cast<std::size_t>(v)].view());
  };
  for (const Node& n : graph.nodes) {
    values[static_cast<std::size_t>(n.output)] = Tensor(shapes[static_cast<std::size_t>(n.output)]);
    std::vector<ConstView> inputs;
    for (ValueId v : n.inputs) inputs.push_back(view(v));
    run_reference(n.layer, inputs, values[static_cast<std::size_t>(n.output)].view());
  }
  return values;
}

// What the last node under a module's path makes.
ValueId output_of_module(const Graph& graph, const std::string& path) {
  ValueId last = -1;
  for (const Node& n : graph.nodes)
    if (n.name.starts_with(path + ".")) last = n.output;
  return last;
}

// The largest deviation from the values that the golden file kept of a map (every so many-th), as a share of
// the largest of them; huge for another number of values and for NaN.
double deviation(const Tensor& found, const GoldenTensor& sample) {
  const auto all = found.values();
  const std::size_t step = std::max<std::size_t>(1, all.size() / 120);
  if ((all.size() + step - 1) / step != sample.values.size()) return 1e30;
  double worst = 0, largest = 0;
  for (std::size_t i = 0; i < sample.values.size(); ++i) {
    const double difference = std::abs(static_cast<double>(all[i * step]) - sample.values[i]);
    if (!(difference < 1e30)) return 1e30;
    worst = std::max(worst, difference);
    largest = std::max(largest, std::abs(static_cast<double>(sample.values[i])));
  }
  return worst / largest;
}

}  // namespace

TEST_CASE("every feature of MobileNetV3 and every head on it equal torchvision's") {
  for (const Golden& g : read_goldens("mobilenet")) {
    CAPTURE(g.name);
    const bool aux = g.has("aux");
    const StateDict state = golden_state(g);
    const Network network = build_network(state, {.aux = aux});
    Tensor input({1, 72, 88, 3});
    const auto drawn = formula("input", 72 * 88 * 3);
    std::ranges::transform(drawn, input.data(), [](double u) { return static_cast<float>(4 * u - 2); });
    const auto values = run_references(network.graph, input);
    const auto value = [&](ValueId v) -> const Tensor& { return values.at(static_cast<std::size_t>(v)); };
    int features = 0;
    for (; g.has(str_cat("feature", features)); ++features) {
      CAPTURE(features);
      const ValueId out = output_of_module(network.graph, str_cat("backbone.", features));
      CHECK(deviation(value(out), g[str_cat("feature", features)]) < 5e-5);
    }
    CHECK(features == (g.name.ends_with("large") ? 17 : 13));
    for (const auto& output : network.graph.outputs) {
      CAPTURE(output.first);
      CHECK(deviation(value(output.second), g[output.first]) < 5e-5);
    }
  }
}

TEST_CASE("MobileNetV3's batch norms use eps 1e-3 in the backbone and 1e-5 in the heads") {
  for (const bool lraspp : {false, true}) {
    const Graph g = build({.lraspp = lraspp, .aux = true}, {.aux = true}).graph;
    int norms = 0;
    for (const Node& n : g.nodes)
      if (const auto* norm = std::get_if<BatchNorm>(&n.layer)) {
        CAPTURE(n.name);
        ++norms;
        const double eps = n.name.starts_with("backbone.") ? 1e-3 : 1e-5;
        CHECK(norm->scale.at(0) == doctest::Approx(1 / std::sqrt(1 + eps)).epsilon(1e-9));
      }
    CHECK(norms == 1 + 3 * 15 - 1 + 1 + 2);  // the first block does not expand; a head and the auxiliary one
  }
}

TEST_CASE("MobileNetV3-Large strides at 0, 2, 4 and 7 and dilates 13, 14 and 15, the first of them too") {
  const Network network = build({.lraspp = false});
  const Graph& g = network.graph;
  CHECK(network.output_stride == 16);
  CHECK(spacing(g, "backbone.0.0") == "2/1/1");
  CHECK(spacing(g, "backbone.1.block.0.0") == "1/1/1");
  for (int b = 2; b <= 15; ++b) {
    CAPTURE(b);
    const bool strided = b == 2 || b == 4 || b == 7, dilated = b >= 13;
    const std::int64_t dilation = dilated ? 2 : 1, kernel = b % 2 ? 3 : 5;
    CHECK(spacing(g, str_cat("backbone.", b, ".block.1.0")) ==
          str_cat(strided ? 2 : 1, "/", dilation, "/", dilation * (kernel - 1) / 2));
    CHECK(conv(g, str_cat("backbone.", b, ".block.1.0")).groups == 2 * width);
    CHECK(spacing(g, str_cat("backbone.", b, ".block.0.0")) == "1/1/0");
  }
  CHECK(spacing(g, "backbone.16.0") == "1/1/0");
}

TEST_CASE("MobileNetV3-Small strides at 0, 1, 2 and 4 and dilates 9, 10 and 11") {
  const Network network = build({.large = false, .lraspp = false});
  CHECK(network.output_stride == 16);
  CHECK(spacing(network.graph, "backbone.1.block.0.0") == "2/1/1");
  for (int b = 2; b <= 11; ++b) {
    CAPTURE(b);
    const std::int64_t dilation = b >= 9 ? 2 : 1, kernel = b % 2 ? 3 : 5;
    CHECK(spacing(network.graph, str_cat("backbone.", b, ".block.1.0")) ==
          str_cat(b == 2 || b == 4 ? 2 : 1, "/", dilation, "/", dilation * (kernel - 1) / 2));
  }
}

TEST_CASE("MobileNetV3 has relu in the first blocks, hard-swish in the others and none behind projections") {
  for (const bool large : {false, true}) {
    const Graph g = build({.large = large}).graph;
    const auto behind = [&](const std::string& name) {  // the activation that reads a batch norm
      for (const Node& n : g.nodes)
        if (const auto* a = std::get_if<Activation>(&n.layer))
          if (n.inputs[0] == node(g, name).output) return a->kind;
      return ActivationKind::none;
    };
    CHECK(behind("backbone.0.1") == ActivationKind::hardswish);
    CHECK(behind(large ? "backbone.16.1" : "backbone.12.1") == ActivationKind::hardswish);
    for (int b = 2; b <= (large ? 15 : 11); ++b) {
      CAPTURE(b);
      const auto expected = b <= (large ? 6 : 3) ? ActivationKind::relu : ActivationKind::hardswish;
      CHECK(behind(str_cat("backbone.", b, ".block.0.1")) == expected);
      CHECK(behind(str_cat("backbone.", b, ".block.1.1")) == expected);
      CHECK(behind(str_cat("backbone.", b, ".block.", b % 3 != 0 ? 3 : 2, ".1")) == ActivationKind::none);
    }
  }
}

TEST_CASE("a block has a skip connection where its stride is 1 and its channels stay") {
  const Graph g = build().graph;
  std::set<std::string> added;
  for (const Node& n : g.nodes)
    if (std::holds_alternative<Add>(n.layer) && n.name.starts_with("backbone."))
      added.insert(n.name.substr(0, n.name.find(".block")));
  // All blocks have the same channels here; 2, 4, 7 are strided, and 13 was before it was dilated.
  for (int b = 1; b <= 15; ++b)
    CHECK(added.contains(str_cat("backbone.", b)) == (b != 2 && b != 4 && b != 7 && b != 13));
}

TEST_CASE("squeeze-excitation gates the map by its mean, fc1, relu, fc2 and hard-sigmoid") {
  const StateDict state = checkpoint({}).state();
  Builder builder(state);
  const Var x = graph_input(builder, 2 * width);
  const Var out = squeeze_excitation(Module(builder, "backbone.2.block.2"), x);
  REQUIRE(builder.report.missing.empty());
  Tensor input({2, 3, 2, 2 * width});
  Random random(1);
  fill(input.view(), random, Draw::floats);
  const auto values = run_references(builder.graph, input);
  // The weights are all 0.01 and the biases 0.5: every channel has the same gate.
  for (std::int64_t n = 0; n < 2; ++n) {
    double sum = 0;
    for (std::int64_t i = 0; i < 6 * 2 * width; ++i) sum += input.view().pixel(n, 0, 0)[i];
    const double squeezed = std::max(0.01 * sum / 6 + 0.5, 0.0),
                 gate = std::clamp((3 * 0.01 * squeezed + 0.5 + 3) / 6, 0.0, 1.0);
    const ConstView found = values[static_cast<std::size_t>(out.id)].view();
    for (std::int64_t i = 0; i < 6 * 2 * width; ++i)
      CHECK(found.pixel(n, 0, 0)[i] == doctest::Approx(input.view().pixel(n, 0, 0)[i] * gate).epsilon(1e-6));
  }
}

TEST_CASE("networks on MobileNetV3 are recognised by their keys, classes and widths by their shapes") {
  CHECK(build().architecture == "lraspp_mobilenet_v3_large(4,24)");
  CHECK(build({.large = false}).architecture == "lraspp_mobilenet_v3_small(4,24)");
  CHECK(build({.lraspp = false}).architecture == "fcn_mobilenet_v3_large(4,24)");
  CHECK(build({.classes = 2}).classes == 2);
  CHECK(build({.lraspp = false, .classes = 21}).classes == 21);
  CHECK(output_of(build({.lraspp = false}), {2, 520, 520, 3}) == Shape{2, 33, 33, 5});
  CHECK(output_of(build(), {1, 1, 1, 3}) == Shape{1, 1, 1, 5});
}

TEST_CASE("LR-ASPP answers at the resolution of its low-level map, an eighth of the picture") {
  const Network network = build();
  CHECK(network.output_stride == 8);
  CHECK(output_of(network, {1, 520, 520, 3}) == Shape{1, 65, 65, 5});
  CHECK(output_of(build({.large = false}), {1, 520, 520, 3}) == Shape{1, 65, 65, 5});
  // The low-level map is feature 4's of Large and feature 2's of Small.
  CHECK(node(network.graph, "classifier.low_classifier").inputs[0] ==
        output_of_module(network.graph, "backbone.4"));
  const Graph small = build({.large = false}).graph;
  CHECK(node(small, "classifier.low_classifier").inputs[0] == output_of_module(small, "backbone.2"));
}

TEST_CASE("the auxiliary head of a MobileNetV3 sees the map at an eighth of the picture") {
  const Network network = build({.lraspp = false, .aux = true}, {.aux = true});
  REQUIRE(network.graph.outputs.size() == 2);
  CHECK(output_of(network, {1, 520, 520, 3}, 1) == Shape{1, 65, 65, 5});
  CHECK(node(network.graph, "aux_classifier.0").inputs[0] == output_of_module(network.graph, "backbone.4"));
  CHECK(build({.lraspp = false, .aux = true}).graph.outputs.size() == 1);
  CHECK(contains(error_of(ErrorCode::unsupported, [] { build({}, {.aux = true}); }), "aux_classifier"));
}

TEST_CASE("each single tensor that is taken away from a MobileNetV3 is missed by its name") {
  for (const Net& net : {Net{}, Net{.large = false, .lraspp = false, .aux = true}}) {
    const RawCheckpoint whole = checkpoint(net);
    REQUIRE(build_network(whole.state(), {.aux = net.aux}).classes == 5);
    for (const auto& entry : whole.tensors) {
      const std::string& name = entry.first;
      RawCheckpoint c = whole;
      c.tensors.erase(name);
      CAPTURE(name);
      if (name.ends_with("num_batches_tracked"))
        CHECK_NOTHROW(build_network(c.state(), {.aux = net.aux}));
      else if (name == "backbone.0.0.weight" || name == "classifier.0.weight")
        CHECK_THROWS_AS(build_network(c.state(), {.aux = net.aux}), Error);  // taken for another network
      else
        CHECK(contains(refusal(c, {.aux = net.aux}), name + ": missing"));
    }
  }
}

TEST_CASE("every key that does not fit a MobileNetV3 is listed at once, with both shapes") {
  RawCheckpoint c = checkpoint({});
  c.tensors["backbone.5.block.1.0.weight"] = float_tensor({2 * width, 2, 3, 3}, 0);
  c.tensors["backbone.7.block.1.0.weight"] = float_tensor({2 * width, 1, 4, 4}, 0);
  c.tensors["backbone.8.block.1.0.weight"] = float_tensor({2 * width, 1, 5, 3}, 0);
  c.tensors["backbone.4.block.2.fc2.weight"] = float_tensor({7, 3, 1, 1}, 0);
  c.tensors["backbone.4.block.2.fc2.bias"] = float_tensor({7}, 0);
  c.tensors["classifier.low_classifier.weight"] = float_tensor({6, width, 1, 1}, 0);
  c.tensors["classifier.low_classifier.bias"] = float_tensor({6}, 0);
  c.tensors["backbone.17.0.weight"] = float_tensor({9}, 0);
  const std::string message = refusal(c);
  CAPTURE(message);
  CHECK(lines_with(message, "backbone.5.block.1.0.weight: expected [8, 1, 3, 3], found [8, 2, 3, 3]") == 1);
  CHECK(lines_with(message, "backbone.7.block.1.0.weight: expected [8, 1, 3, 3], found [8, 1, 4, 4]") == 1);
  CHECK(lines_with(message, "backbone.8.block.1.0.weight: expected [8, 1, 5, 5], found [8, 1, 5, 3]") == 1);
  CHECK(lines_with(message, "backbone.4.block.1.1.relu.mul: 8 channels cannot be multiplied by 7") == 1);
  CHECK(lines_with(message, "classifier.low_classifier.add: 6 channels cannot be added to 5") == 1);
  CHECK(lines_with(message, "backbone.17.0.weight: unexpected, [9]") == 1);
}

}  // namespace atrous::mobilenet_test
