// Convolutions of few channels, a row at a time, from pixels that are read where they lie
// (row_convolution.h).
//
// For pictures, the first layer of a network, since a tap of three channels alone would be too little to work
// on. And for layers of few outputs at a high resolution, such as the end of U-Net's decoder, where a
// transformation (Winograd) or packing (a matrix product) costs more than it saves.
//
// Measured (Zen 4 with AVX-512, 117 GFLOP/s, one thread): ResNet's 7x7/2 stem on 520x520 in 12 ms, 104
// GFLOP/s; MobileNetV3's 3x3/2 in 0.9 ms.
#pragma once

#include <memory>

#include "layers/cpu/isa.h"
#include "layers/graph/kernel.h"
#include "layers/ops/conv2d.h"

namespace atrous {

// Null unless the convolution is ungrouped, undilated, larger than 1x1 and has at most 4 input channels.
std::unique_ptr<Kernel> make_conv2d_few_channels(const Conv2d&, Isa);

// Null unless the convolution is ungrouped, undilated, larger than 1x1 and has at most 32 output channels and
// at most 64 input channels. Its cost says where it pays.
std::unique_ptr<Kernel> make_conv2d_few_outputs(const Conv2d&, Isa);

}  // namespace atrous
