#include "runtime/engine/program.h"

#include <algorithm>
#include <functional>
#include <map>
#include <numeric>
#include <set>

#include "layers/base/error.h"

#include "runtime/engine/passes.h"

namespace atrous {

namespace {

// Whether the two are one layer that runs twice: they share their weights and differ in nothing.
bool same_layer(const Conv2d& a, const Conv2d& b) {
  return a.weight.id() == b.weight.id() && a.weight.scale == b.weight.scale && a.bias == b.bias &&
         a.stride == b.stride && a.padding == b.padding && a.dilation == b.dilation && a.groups == b.groups &&
         a.activation == b.activation;
}

MapTypes types_of(const Graph& graph, const Node& node) {
  const auto type = [&](ValueId v) { return graph.values[static_cast<std::size_t>(v)].type(); };
  MapTypes types{{}, type(node.output)};
  for (ValueId v : node.inputs) types.inputs.push_back(type(v));
  return types;
}

// By node: the first one whose layer is the same, on maps of the same types; itself where there is none
// before.
std::vector<std::size_t> first_of_each(const Graph& graph) {
  std::map<const void*, std::vector<std::size_t>> by_weights;
  std::vector<std::size_t> first;
  for (std::size_t i = 0; i < graph.nodes.size(); ++i) {
    first.push_back(i);
    const auto* conv = std::get_if<Conv2d>(&graph.nodes[i].layer);
    if (!conv || !conv->weight.id()) continue;
    std::vector<std::size_t>& before = by_weights[conv->weight.id()];
    const auto found = std::ranges::find_if(before, [&](std::size_t j) {
      return same_layer(std::get<Conv2d>(graph.nodes[j].layer), *conv) &&
             types_of(graph, graph.nodes[j]) == types_of(graph, graph.nodes[i]);
    });
    if (found == before.end())
      before.push_back(i);
    else
      first.back() = *found;
  }
  return first;
}

// Makes the kernels of every node, and lets go of weights as they are packed. The largest first: packing
// holds a layer's weights twice, and later there is memory about that smaller ones left.
template <class Make>
void make_kernels(Program& program, Make&& make) {
  const std::vector<std::size_t> first = first_of_each(program.graph);
  std::vector<std::size_t> order(first.size());
  std::iota(order.begin(), order.end(), std::size_t{0});
  std::ranges::stable_sort(order, std::greater<>{},
                           [&](std::size_t i) { return weight_bytes(program.graph.nodes[i].layer); });
  program.kernels.resize(first.size());
  for (const std::size_t i : order) {
    if (first[i] < i)
      program.kernels[i] = program.kernels[first[i]];
    else
      for (auto& kernel : make(program.graph.nodes[i])) program.kernels[i].push_back(std::move(kernel));
    release_weights(program.graph.nodes[i].layer);
  }
}

}  // namespace

Program compile(Graph graph, const CpuOptions& options) try {
  if (options.precision == Precision::tf32 || options.precision == Precision::fp16)
    fail(ErrorCode::invalid_argument, "the processor computes in fp32, bf16 or int8, not in ",
         name_of(options.precision));
  optimise_for_device(graph);
  if (options.precision == Precision::int8) choose_int8(graph);
  dequantise_others(graph);
  if (!options.device_layers) fuse_for_processor(graph);
  if (options.precision == Precision::bf16) choose_bf16(graph);
  Program program{.graph = std::move(graph),
                  .kernels = {},
                  .cpu_precision = options.precision,
                  .isa = options.isa,
                  .device = nullptr};
  make_kernels(program, [&](const Node& node) {
    return make_cpu_kernels(node, options, types_of(program.graph, node));
  });
  return program;
} catch (...) {
  rethrow_as_error();
}

Program compile_for(std::shared_ptr<Device> device, Graph graph) try {
  optimise_for_device(graph);
  dequantise_others(graph);
  Program program{
      .graph = std::move(graph), .kernels = {}, .isa = supported_isas().front(), .device = std::move(device)};
  make_kernels(program, [&](const Node& node) { return program.device->make_kernels(node); });
  return program;
} catch (...) {
  rethrow_as_error();
}

std::string Program::runs_on() const try {
  return device ? device->info().name : str_cat("cpu ", name_of(isa));
} catch (...) {
  rethrow_as_error();
}

std::size_t Program::packed_bytes() const {
  std::set<const Kernel*> counted;  // that several nodes may run
  std::size_t bytes = 0;
  for (const auto& of_node : kernels)
    if (counted.insert(of_node.front().get()).second) bytes += of_node.front()->packed_bytes();
  return bytes;
}

}  // namespace atrous
