// 1x1 convolution with stride 1: a matrix product, pixels times weights, whose left matrix is the map as it
// lies in memory. Nothing is gathered or packed but the weights, once; every sum is finished in registers and
// stored once.
#pragma once

#include <memory>

#include "layers/conv2d.h"
#include "layers/cpu/isa.h"
#include "layers/gated_conv2d.h"
#include "layers/kernel.h"

namespace atrous {

// Null unless the kernel is 1x1, stride 1, unpadded and ungrouped, and the pixels are so narrow that a few of
// them stay in the first cache while their sums grow.
std::unique_ptr<Kernel> make_conv2d_pointwise(const Conv2d&, Isa);

// Null likewise.
std::unique_ptr<Kernel> make_gated_conv2d_pointwise(const GatedConv2d&, Isa);

}  // namespace atrous
