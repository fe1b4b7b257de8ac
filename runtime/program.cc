#include "runtime/program.h"

#include "runtime/passes.h"

namespace atrous {

namespace {

void release_weights(Layer& layer) {
  if (auto* conv = std::get_if<Conv2d>(&layer)) {
    conv->weight.data.reset();
    conv->bias.reset();
  } else if (auto* transposed = std::get_if<ConvTranspose2d>(&layer)) {
    transposed->weight.data.reset();
    transposed->bias.reset();
  }
}

}  // namespace

Program compile(Graph graph, const CpuOptions& options) {
  optimise(graph);
  Program program{std::move(graph), {}, options.isa};
  for (Node& node : program.graph.nodes) {
    program.kernels.push_back(make_cpu_kernels(node, options));
    release_weights(node.layer);
  }
  return program;
}

std::size_t Program::packed_bytes() const {
  std::size_t bytes = 0;
  for (const auto& of_node : kernels) bytes += of_node.front()->packed_bytes();
  return bytes;
}

}  // namespace atrous
