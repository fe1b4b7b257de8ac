#include "runtime/quantisation/quantisable_layers.h"

#include <algorithm>
#include <map>

#include "layers/base/error.h"

namespace atrous {

namespace {

std::size_t place(ValueId v) { return static_cast<std::size_t>(v); }

// By value: whether it has one pixel an image for every input of the graph.
std::vector<bool> single_pixels(const Graph& graph) {
  std::vector<bool> single(graph.values.size());
  for (const Node& node : graph.nodes) {
    const auto* pool = std::get_if<AdaptiveAvgPool2d>(&node.layer);
    const auto* conv = std::get_if<Conv2d>(&node.layer);
    const bool resizes = std::holds_alternative<Resize>(node.layer);
    single[place(node.output)] =
        pool ? pool->out_h == 1 && pool->out_w == 1
             : !resizes && (!conv || conv->is_pointwise()) &&
                   std::ranges::all_of(node.inputs, [&](ValueId v) { return single[place(v)]; });
  }
  return single;
}

std::string kind_of(const Conv2d& conv, bool linear) {
  if (linear) return "linear";
  if (conv.is_depthwise()) return "depthwise";
  if (conv.groups > 1) return "grouped";
  return str_cat(conv.weight.kernel_h, 'x', conv.weight.kernel_w);
}

}  // namespace

std::vector<bool> holds_scores(const Graph& graph) try {
  std::vector<bool> scores(graph.values.size());
  for (const auto& output : graph.outputs) scores[place(output.second)] = true;
  for (std::size_t i = graph.nodes.size(); i-- > 0;) {
    const Node& node = graph.nodes[i];
    if (!scores[place(node.output)] || std::holds_alternative<Conv2d>(node.layer)) continue;
    for (const ValueId v : node.inputs)
      if (graph.values[place(v)].channels == graph.values[place(node.output)].channels)
        scores[place(v)] = true;
  }
  return scores;
} catch (...) {
  rethrow_as_error();
}

std::vector<WeightedLayer> weighted_layers(const Graph& graph, const StateDict& state) try {
  std::map<const void*, std::vector<std::string>> keys;
  std::map<const void*, std::size_t> known;
  for (const auto& [key, tensor] : state.entries()) keys[tensor.data.get()].push_back(key);
  const std::vector<bool> scores = holds_scores(graph), single = single_pixels(graph);
  std::vector<WeightedLayer> layers;
  for (const Node& node : graph.nodes) {
    const auto* conv = std::get_if<Conv2d>(&node.layer);
    const auto* transposed = std::get_if<ConvTranspose2d>(&node.layer);
    if (!conv && !transposed) continue;
    const void* const weights = conv ? conv->weight.id() : transposed->weight.id();
    const auto found = keys.find(weights);
    const bool has_key = found != keys.end();
    const bool linear = conv && has_key && state.find(found->second.front())->shape.size() != 4;
    WeightedLayer layer{.name = node.name,
                        .kind = conv ? kind_of(*conv, linear) : "transposed",
                        .keys = has_key ? found->second : std::vector<std::string>(),
                        .in_fp32 = {},
                        .conv = conv,
                        .input = node.inputs[0],
                        .input_name = graph.values[place(node.inputs[0])].name};
    if (!conv || linear || !has_key)
      layer.in_fp32 = "no convolution of a tensor";
    else if (layer.input == graph.input)
      layer.in_fp32 = "reads the photo";
    else if (scores[place(node.output)])
      layer.in_fp32 = "makes the scores";
    else if (single[place(node.output)])
      layer.in_fp32 = "of one pixel";
    else if (conv->rounding == Rounding::precise)
      layer.in_fp32 = "may hardly round";
    else if (conv->weight.d1 % 4 != 0 && !conv->is_depthwise())
      layer.in_fp32 = str_cat(conv->weight.d1, " channels");
    const auto [at, fresh] = known.emplace(weights, layers.size());
    if (fresh)
      layers.push_back(std::move(layer));
    else if (!layer.in_fp32.empty())
      layers[at->second].in_fp32 = layer.in_fp32;
  }
  return layers;
} catch (...) {
  rethrow_as_error();
}

StateDict with_float_convolutions(const StateDict& state) try {
  StateDict out;
  for (const auto& [key, tensor] : state.entries()) {
    const bool halves =
        tensor.dtype == DType::f16 || tensor.dtype == DType::bf16 || tensor.dtype == DType::f64;
    StateTensor copy = tensor;
    if (halves && tensor.shape.size() == 4) {
      const std::shared_ptr<const float> floats = to_float(tensor);
      copy = {DType::f32, tensor.shape, {floats, reinterpret_cast<const std::byte*>(floats.get())}};
    }
    out.add(key, std::move(copy));
  }
  return out;
} catch (...) {
  rethrow_as_error();
}

}  // namespace atrous
