// The convolutions that need no library: cuda_kernels.h with weights.
#pragma once

#include <memory>

#include "layers/cuda/cuda.h"
#include "layers/ops/conv2d.h"
#include "layers/ops/conv_transpose2d.h"

namespace atrous::cuda {

// Null unless groups = channels.
std::unique_ptr<Kernel> make_conv2d_depthwise(const Conv2d&, const std::shared_ptr<Context>&);

// Accepts every convolution: where nothing else runs, this does.
std::unique_ptr<Kernel> make_conv2d_direct(const Conv2d&, const std::shared_ptr<Context>&);

std::unique_ptr<Kernel> make_conv_transpose2d(const ConvTranspose2d&, const std::shared_ptr<Context>&);

}  // namespace atrous::cuda
