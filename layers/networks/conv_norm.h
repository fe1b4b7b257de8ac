// A convolution, a batch norm and a ReLU, one behind the other: what most of a segmentation network is made
// of.
#pragma once

#include "layers/graph/builder.h"

namespace atrous::networks {

// torch's Conv2d and the BatchNorm2d behind it, wherever in the state dict each has its keys.
struct ConvNorm {
  Module conv, norm;
};

// relu(norm(conv(x)))
Var conv_norm_relu(const ConvNorm&, Var x, const ConvOptions&);

}  // namespace atrous::networks
