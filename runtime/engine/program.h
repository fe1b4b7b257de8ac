// A graph made ready to run: optimised, and the weights packed for every node. Which of a node's kernels runs
// is decided when the input's size is known (plan.h).
#pragma once

#include <memory>
#include <string>

#include "layers/cpu/cpu_backend.h"
#include "layers/graph/device.h"
#include "layers/graph/graph.h"
#include "layers/networks/preparation.h"

namespace atrous {

struct Program {
  std::string name = {};                      // of the network in errors, such as its file's; may be empty
  Graph graph;                                // optimised; its nodes hold kernels in place of their weights
  Precision cpu_precision = Precision::fp32;  // on the processor: fp32, bf16 or int8
  Isa isa;  // of the kernels, or of the steps around the network that a device leaves to the CPU
  std::shared_ptr<Device> device;  // whose kernels they are; null: the processor's
  Padding padding = {};            // of inputs, before they reach the graph
  Answer answer = {};              // how the graph's outputs become labels

  std::size_t packed_bytes() const;

  // For reports: "NVIDIA H200", or "cpu avx512"; and "fp32".
  std::string runs_on() const;
  std::string_view precision() const { return name_of(device ? device->precision() : cpu_precision); }
};

// Error(invalid_argument) for a precision that is not the processor's.
// Weights are released one by one as they are packed, provided that nobody else (the state dict) holds them
// any more.
Program compile(Graph, const CpuOptions&);

// The same for a device.
Program compile_for(std::shared_ptr<Device>, Graph);

}  // namespace atrous
