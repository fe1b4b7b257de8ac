// Convolutions by cuDNN. Channels last, any kernel; with groups where their channels are whole pitches.
//
// "cudnn" gives cuDNN all of the convolution that it can do as one graph (conv2d_graph.h). "cudnn_plain"
// gives it the convolution alone, for graphs that no engine takes. What is left out follows in a kernel of
// ours (epilogue, cuda_kernels.h).
//
// Plans are made once for each shape, when cost() or workspace_bytes() is asked for it, for all layers that
// are alike but for their weights, and stay as long as these, since recordings may run their code. cost()
// tells what may be had: 0 with a plan that cuDNN's heuristics advise, 1 with a plain one, 2 and 3 where they
// only fall back on something, which is slow; infinity where there is none. With DeviceOptions::search it is
// the milliseconds of the quickest.
#pragma once

#include <memory>

#include "layers/cuda/cuda.h"
#include "layers/ops/conv2d.h"

namespace atrous::cuda {

// Null for groups that are not.
std::unique_ptr<Kernel> make_conv2d_cudnn(const Conv2d&, const std::shared_ptr<Context>&);
std::unique_ptr<Kernel> make_conv2d_cudnn_plain(const Conv2d&, const std::shared_ptr<Context>&);

}  // namespace atrous::cuda
