#include "layers/graph/graph.h"

#include "layers/base/checked.h"
#include "layers/base/naming.h"

namespace atrous {

namespace {

template <IsLayer... Layers>
constexpr bool all_are_layers(const std::variant<Layers...>*) {
  return true;
}
static_assert(all_are_layers(static_cast<const Layer*>(nullptr)));

}  // namespace

std::string_view name_of(const Layer& layer) {
  return std::visit([](const auto& l) -> std::string_view { return l.name; }, layer);
}

std::vector<int> count_readers(const Graph& graph) {
  std::vector<int> readers(graph.values.size());
  for (const Node& node : graph.nodes)
    for (ValueId v : node.inputs) ++readers[static_cast<std::size_t>(v)];
  for (const auto& [name, v] : graph.outputs) ++readers[static_cast<std::size_t>(v)];
  return readers;
}

Shape output_shape(const Layer& layer, std::span<const Shape> in) {
  return std::visit([&](const auto& l) { return l.output_shape(in); }, layer);
}

std::vector<Shape> infer_shapes(const Graph& graph, const Shape& input) {
  checked_elements(input);
  std::vector<Shape> shapes(graph.values.size());
  shapes[static_cast<std::size_t>(graph.input)] = input;
  std::vector<Shape> in;
  for (const Node& node : graph.nodes) {
    in.clear();
    for (ValueId v : node.inputs) in.push_back(shapes[static_cast<std::size_t>(v)]);
    naming(node.name, [&] {
      Shape& out = shapes[static_cast<std::size_t>(node.output)];
      out = output_shape(node.layer, in);
      checked_elements(out);
    });
  }
  return shapes;
}

std::int64_t macs(const Node& node, std::span<const Shape> shapes) {
  std::vector<Shape> in;
  for (const ValueId v : node.inputs) in.push_back(shapes[static_cast<std::size_t>(v)]);
  return std::visit(
      [&]<class L>(const L& layer) -> std::int64_t {
        if constexpr (HasWeights<L>) return layer.macs(in);
        return 0;
      },
      node.layer);
}

void run_reference(const Layer& layer, std::span<const ConstView> in, View out) {
  std::visit([&](const auto& l) { l.run_reference(in, out); }, layer);
}

namespace {

template <class Visit>
void each_weight(Layer& layer, Visit&& visit) {
  std::visit(
      [&]<class L>(L& l) {
        if constexpr (HasWeights<L>) l.each_weight(visit);
      },
      layer);
}

}  // namespace

std::size_t weight_bytes(const Layer& layer) {
  std::size_t bytes = 0;
  Layer visited = layer;  // shares the weights
  each_weight(visited, [&]<class T>(const std::shared_ptr<const T>&, std::int64_t elements) {
    bytes += static_cast<std::size_t>(elements) * sizeof(T);
  });
  return bytes;
}

void release_weights(Layer& layer) {
  each_weight(layer, [](auto& weights, std::int64_t) { weights.reset(); });
}

}  // namespace atrous
