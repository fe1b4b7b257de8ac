// The CPU back end: for every kind of layer an ordered list of implementations. The first that accepts the
// problem wins; every list ends in the layer's reference.
#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "layers/cpu/isa.h"
#include "layers/graph.h"
#include "layers/kernel.h"

namespace atrous {

struct CpuOptions {
  Isa isa = supported_isas().front();
  std::string force = {};  // an implementation's name: tried first for every layer that has one of that name
  int threads = 1;         // for packing weights
};

// Packs the node's weights; the node is not needed afterwards.
std::unique_ptr<Kernel> make_cpu_kernel(const Node&, const CpuOptions&);

// The names of a layer's implementations, in their order: "implicit_gemm", "reference".
std::vector<std::string_view> cpu_implementations(const Layer&);

// All names, each once, for messages and completion.
std::vector<std::string_view> cpu_implementations();

}  // namespace atrous
