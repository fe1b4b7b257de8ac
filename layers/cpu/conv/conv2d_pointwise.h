// 1x1 convolution with stride 1: a matrix product, pixels times weights, whose left matrix is the map as it
// lies in memory. Nothing is gathered or packed but the weights, once; every sum is finished in registers and
// stored once. Tasks of up to 192 pixels and all output channels.
//
// Measured (Zen 4 with AVX-512, 117 GFLOP/s, one thread): 101 to 109 GFLOP/s on ResNet's 65x65 maps of 256
// and 512 channels, 109 to 112 on MobileNetV3's projections; where the output is four times the input and the
// map 130x130, memory holds it to 70 to 80.
#pragma once

#include <memory>

#include "layers/cpu/isa.h"
#include "layers/graph/kernel.h"
#include "layers/ops/conv2d.h"
#include "layers/ops/gated_conv2d.h"

namespace atrous {

// `threads` pack the weights. Null unless the kernel is 1x1, stride 1, unpadded and ungrouped, and the pixels
// are so narrow that a few of them stay in the L1 cache while their sums grow.
std::unique_ptr<Kernel> make_conv2d_pointwise(const Conv2d&, Isa, int threads = 1);

// Null likewise.
std::unique_ptr<Kernel> make_gated_conv2d_pointwise(const GatedConv2d&, Isa, int threads = 1);

}  // namespace atrous
