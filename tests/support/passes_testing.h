// What the tests of passes share: small graphs, and what they compute before and behind a pass.
#pragma once

#include <doctest/doctest.h>

#include <string>
#include <utility>
#include <vector>

#include "runtime/engine/passes.h"
#include "tests/support/runtime_testing.h"

namespace atrous::passes_testing {

using namespace atrous::runtime_testing;

inline std::shared_ptr<const float> drawn(std::int64_t count, std::uint32_t seed) {
  auto tensor = std::make_shared<Tensor>(noise({1, 1, 1, count}, seed));
  return {tensor, tensor->data()};
}

inline Conv2d conv(std::int64_t out, std::int64_t in, std::int64_t kernel, std::uint32_t seed,
                   bool bias = false) {
  return {.weight = {out, in, kernel, kernel, drawn(out * in * kernel * kernel, seed)},
          .bias = bias ? drawn(out, seed + 1) : nullptr,
          .padding = kernel / 2};
}

inline BatchNorm norm(std::int64_t channels) {
  BatchNorm n;
  for (std::int64_t c = 0; c < channels; ++c) {
    n.scale.push_back(0.3 + 0.1 * static_cast<double>(c));
    n.shift.push_back(0.7 - 0.2 * static_cast<double>(c));
  }
  return n;
}

// Value 0 is the input; every node makes the next value, all of 4 channels.
inline Graph chain(std::vector<Node> nodes, std::vector<ValueId> outputs) {
  Graph g;
  g.values.assign(nodes.size() + 1, {4});
  g.input = 0;
  g.nodes = std::move(nodes);
  for (std::size_t i = 0; i < g.nodes.size(); ++i) g.nodes[i].output = static_cast<ValueId>(i + 1);
  for (std::size_t i = 0; i < outputs.size(); ++i) g.outputs.emplace_back(str_cat("out", i), outputs[i]);
  return g;
}

// All outputs of a graph, every layer by its reference.
inline std::vector<float> by_references(const Graph& graph, const Tensor& input) {
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

inline std::vector<std::string> names(const Graph& graph) {
  std::vector<std::string> out;
  for (const Node& node : graph.nodes) out.push_back(node.name);
  return out;
}

using Names = std::vector<std::string>;

inline const Activation relu_layer{ActivationKind::relu};

// Runs `pass` and checks that the graph still computes the same.
template <class Pass>
void transform(Graph& graph, Pass&& pass, double tolerance = 0) {
  const Tensor input = noise({2, 5, 7, 4}, 9);
  const auto before = by_references(graph, input);
  pass(graph);
  CHECK(deviation(by_references(graph, input), before) <= tolerance);
}

inline const Conv2d& conv_of(const Graph& g, std::size_t node) {
  return std::get<Conv2d>(g.nodes.at(node).layer);
}

// ASPP in small: a map beside a pixel that is repeated over it, concatenated and convolved.
inline Graph pooling(const Conv2d& project, const AdaptiveAvgPool2d& pool = {1, 1}) {
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

// Value 1 is made from the input by striding, at half its size; value 2 from that with 8 channels.
inline Graph small_map_first(std::vector<Node> rest, std::vector<ValueId> outputs) {
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

}  // namespace atrous::passes_testing
