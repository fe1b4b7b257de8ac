#include "runtime/engine/program.h"

#include "layers/base/error.h"

#include "runtime/engine/passes.h"

namespace atrous {

Program compile(Graph graph, const CpuOptions& options) try {
  options.device_layers ? optimise_for_device(graph) : optimise(graph);
  Program program{.graph = std::move(graph), .kernels = {}, .isa = options.isa, .device = nullptr};
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
  Program program{
      .graph = std::move(graph), .kernels = {}, .isa = supported_isas().front(), .device = std::move(device)};
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
