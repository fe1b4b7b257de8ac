// Depthwise convolution, one filter per channel: rows of output pixels as depthwise_row.h does them.
#pragma once

#include <memory>

#include "layers/cpu/isa.h"
#include "layers/graph/kernel.h"
#include "layers/ops/conv2d.h"

namespace atrous {

// Any kernel size, stride, padding and dilation. Null unless groups = input channels = output channels. The
// output must lie apart from the residual.
std::unique_ptr<Kernel> make_conv2d_depthwise(const Conv2d&, Isa);

}  // namespace atrous
