// Convolutions of pictures: the first layer of a network, with three input channels. A tap alone would be too
// little to work on, but in NHWC the taps of a kernel's row lie side by side in memory, so a kernel of k rows
// is k stretches of kernel_w * channels floats. The rows that an output row needs are copied once, with their
// padding; then the pixels' stretches overlap in that copy and row_tile.h reads them where they lie.
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

}  // namespace atrous
