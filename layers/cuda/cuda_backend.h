// The CUDA back end: for every kind of layer an ordered list of implementations, as in cpu/cpu_backend.h.
// Which of them runs is decided when the sizes are known: vendors' libraries first, ours where they refuse.
#pragma once

#include "layers/cuda/cuda.h"
#include "layers/graph/graph.h"

namespace atrous::cuda {

// At least one, in order of preference. Error(unsupported) for a layer that has none, such as those that
// fuse_for_processor() makes (passes.h).
std::vector<std::unique_ptr<Kernel>> make_kernels(const Node&, const std::shared_ptr<Context>&);

}  // namespace atrous::cuda
