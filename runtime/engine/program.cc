#include "runtime/engine/program.h"

#include <algorithm>
#include <functional>
#include <map>
#include <numeric>
#include <set>

#include "layers/base/error.h"
#include "layers/base/weight_pages.h"
#include "layers/cpu/parallel.h"
#include "runtime/engine/passes.h"
#include "runtime/engine/weight_memory.h"

namespace atrous {

namespace {

// Whether the two are one layer that runs twice: they share their weights and differ in nothing.
bool same_layer(const Conv2d& a, const Conv2d& b) {
  return a.weight.id() == b.weight.id() && a.weight.scale == b.weight.scale &&
         a.weight.pending == b.weight.pending && a.bias == b.bias && a.stride == b.stride &&
         a.padding == b.padding && a.dilation == b.dilation && a.groups == b.groups &&
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

constexpr std::size_t large_bytes = std::size_t{4} << 20;  // of weights: worth several threads

// Whether all kernels that the processor has for the layer share a PackedConv2d, which reads pending weights
// by itself, a panel at a time: where a layer's are too many for the cache.
bool packs_alone(const Layer& layer) {
  constexpr std::int64_t few = 64;  // channels, for which there are other kernels
  constexpr std::size_t least_bytes = std::size_t{1} << 20;
  const auto* conv = std::get_if<Conv2d>(&layer);
  return conv && conv->weight.pending && !conv->weight.quantised && conv->groups == 1 &&
         conv->weight.kernel_h * conv->weight.kernel_w > 1 && conv->weight.d1 > few &&
         conv->weight.d0 > few && weight_bytes(layer) >= least_bytes;
}

using MakeKernels = std::function<std::vector<std::unique_ptr<Kernel>>(const Node&)>;

// Makes the kernels of every node, and lets go of weights as they are packed. The largest first: packing
// holds a layer's weights twice, and later there is memory about that smaller ones left. Large layers are
// packed by all threads one after another, of the others each thread packs its own. reads_panels: whether
// make() takes layers of packs_alone() with their weights pending.
void make_kernels(Program& program, int threads, bool reads_panels, const MakeKernels& make) {
  const std::vector<std::size_t> first = first_of_each(program.graph);
  std::vector<std::size_t> order(first.size());
  std::iota(order.begin(), order.end(), std::size_t{0});
  std::ranges::stable_sort(order, std::greater<>{},
                           [&](std::size_t i) { return weight_bytes(program.graph.nodes[i].layer); });
  std::size_t bytes = 0;
  for (std::size_t i = 0; i < first.size(); ++i)
    if (first[i] == i) bytes += weight_bytes(program.graph.nodes[i].layer);
  if (program.cpu_precision == Precision::bf16) bytes /= 2;
  const auto pages = std::make_shared<WeightPages>(program.device ? 0 : bytes);
  const auto make_one = [&](std::size_t i, WeightMemory& memory, int team) {
    Node& node = program.graph.nodes[i];
    if (first[i] == i) {
      const bool waits = reads_panels && packs_alone(node.layer);
      const Node ready{node.name, waits ? node.layer : memory.bring_in(node.layer, team), node.inputs,
                       node.output};
      const WeightPagesScope scope(pages);
      for (auto& kernel : make(ready)) node.kernels.push_back(std::move(kernel));
    }
    release_weights(node.layer);
    if (auto* transposed = std::get_if<ConvTranspose2d>(&node.layer)) transposed->weight.pending.reset();
  };
  auto next = order.begin();
  {
    WeightMemory memory(pages);
    while (next != order.end() &&
           (threads == 1 || weight_bytes(program.graph.nodes[*next].layer) >= large_bytes))
      make_one(*next++, memory, threads);
  }
  std::vector<WeightMemory> memories(static_cast<std::size_t>(threads));
  FirstFailure failure;
  parallel_tasks(threads, order.end() - next, [&](std::int64_t task, int thread) {
    failure.guard([&] { make_one(next[task], memories[static_cast<std::size_t>(thread)], 1); });
  });
  failure.rethrow();
  for (std::size_t i = 0; i < first.size(); ++i)
    if (first[i] != i) program.graph.nodes[i].kernels = program.graph.nodes[first[i]].kernels;
}

}  // namespace

Program compile(Graph graph, const CpuOptions& options) try {
  if (options.precision == Precision::tf32 || options.precision == Precision::fp16)
    fail(ErrorCode::invalid_argument, "the processor computes in fp32, bf16 or int8, not in ",
         name_of(options.precision));
  optimise_for_device(graph);
  if (options.precision == Precision::int8) {
    choose_int8(graph);
    equalise(graph);
  }
  dequantise_others(graph);
  if (!options.device_layers) fuse_for_processor(graph, options.precision != Precision::fp32);
  if (options.precision == Precision::bf16) choose_bf16(graph);
  Program program{
      .graph = std::move(graph), .cpu_precision = options.precision, .isa = options.isa, .device = nullptr};
  make_kernels(program, std::max(1, options.threads), options.force.empty(), [&](const Node& node) {
    return make_cpu_kernels(node, options, types_of(program.graph, node));
  });
  return program;
} catch (...) {
  rethrow_as_error();
}

Program compile_for(std::shared_ptr<Device> device, Graph graph) try {
  optimise_for_device(graph);
  dequantise_others(graph);
  Program program{.graph = std::move(graph), .isa = supported_isas().front(), .device = std::move(device)};
  make_kernels(program, 1, false, [&](const Node& node) { return program.device->make_kernels(node); });
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
  for (const Node& node : graph.nodes)
    if (const Kernel* kernel = node.kernels.front().get(); counted.insert(kernel).second)
      bytes += kernel->packed_bytes();
  return bytes;
}

}  // namespace atrous
