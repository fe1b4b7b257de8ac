// Depthwise convolution along the channels: in NHWC neighbouring floats belong to neighbouring channels, so a
// vector of weights meets a vector of pixels. A block of pixels side by side shares every load of the
// weights, and its sums stay in registers over all taps; bias, residual and activation are applied before the
// one store.
#pragma once

#include <memory>

#include "layers/conv2d.h"
#include "layers/cpu/isa.h"
#include "layers/kernel.h"

namespace atrous {

// Any kernel size, stride, padding and dilation. Null unless groups = input channels = output channels.
std::unique_ptr<Kernel> make_conv2d_depthwise(const Conv2d&, Isa);

}  // namespace atrous
