// What smp's DeepLabV3 and V3+ share.
#pragma once

#include "layers/networks/deeplab.h"
#include "layers/networks/smp.h"

namespace atrous::networks {

// A 3x3 convolution; or SeparableConv2d, a depthwise 3x3 convolution with the same dilation (0) and a 1x1
// convolution (1), nothing between. `separable`: of a network without a checkpoint.
Var smp_conv3x3(Module, Var x, const ConvOptions&, bool separable);

// ASPP with torchvision's keys. Hyper rates: 12, 24, 36 at every output stride, unlike the paper's.
Var smp_aspp(Module, Var x, Hyper&, bool separable);

}  // namespace atrous::networks
