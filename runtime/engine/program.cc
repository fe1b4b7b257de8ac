#include "runtime/engine/program.h"

#include "layers/base/error.h"

#include "runtime/engine/passes.h"

namespace atrous {

namespace {

template <class Convolution>
void release(Convolution& conv) {
  conv.weight.data.reset();
  conv.bias.reset();
}

void release_weights(Layer& layer) {
  if (auto* conv = std::get_if<Conv2d>(&layer)) {
    release(*conv);
  } else if (auto* transposed = std::get_if<ConvTranspose2d>(&layer)) {
    release(*transposed);
  } else if (auto* pair = std::get_if<ExpandDepthwise>(&layer)) {
    release(pair->expand);
    release(pair->depthwise);
  } else if (auto* gated = std::get_if<GatedConv2d>(&layer)) {
    release(gated->conv);
  }
}

}  // namespace

Program compile(Graph graph, const CpuOptions& options) try {
  options.device_layers ? optimise_for_device(graph) : optimise(graph);
  Program program{{}, std::move(graph), {}, options.isa, nullptr};
  for (Node& node : program.graph.nodes) {
    program.kernels.push_back(make_cpu_kernels(node, options));
    release_weights(node.layer);
  }
  return program;
} catch (...) {
  rethrow_as_error();
}

Program compile_for(std::shared_ptr<Device> device, Graph graph) try {
  optimise_for_device(graph);
  Program program{{}, std::move(graph), {}, supported_isas().front(), std::move(device)};
  for (Node& node : program.graph.nodes) {
    program.kernels.push_back(program.device->make_kernels(node));
    release_weights(node.layer);
  }
  return program;
} catch (...) {
  rethrow_as_error();
}

std::string Program::runs_on() const try {
  return device ? device->info().name : text("cpu ", name_of(isa));
} catch (...) {
  rethrow_as_error();
}

std::size_t Program::packed_bytes() const {
  std::size_t bytes = 0;
  for (const auto& of_node : kernels) bytes += of_node.front()->packed_bytes();
  return bytes;
}

}  // namespace atrous
