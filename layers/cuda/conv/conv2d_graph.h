// A convolution as a graph of cuDNN's (cudnn_graph.h):
//
//   x, weight -> convolution -> add residual -> add bias -> relu, relu6 or sigmoid -> y
//
// of which only x, weight, residual, bias and y are in memory; between the operations it is fp32.
#pragma once

#include "layers/cuda/conv/conv2d_call.h"
#include "layers/cuda/conv/cudnn_graph.h"

namespace atrous::cuda {

// What of a convolution is in the graph; the rest is left to epilogue() (cuda_kernels.h).
struct Fusion {
  bool residual = false, bias = false;
  ActivationKind activation = ActivationKind::none;
};
// All but what there is no operation for: hardswish, hardsigmoid, and from a repeated residual on.
Fusion full_fusion(const Conv2d&, const Conv2dProblem&);

// The tensors in memory.
enum Conv2dUid : std::int64_t { x_uid = 1, weight_uid, residual_uid, bias_uid, y_uid, first_virtual_uid };

// Data types are the precision's; so is the type of the bias, or else no engine takes the graph.
Descriptor make_graph(const Planner&, const Conv2d&, const Conv2dProblem&, const Fusion&, Precision);

// Whether what the engine does to numbers is what the precision allows. Always deterministic.
bool is_allowed(const EngineConfig&, Precision);

}  // namespace atrous::cuda
