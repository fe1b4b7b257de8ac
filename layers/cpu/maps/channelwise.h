// Max pooling, adaptive average pooling and bilinear resizing along the channels: in NHWC neighbouring floats
// belong to neighbouring channels, so every vector does the same thing to as many channels as it holds.
#pragma once

#include <memory>

#include "layers/cpu/isa.h"
#include "layers/graph/kernel.h"
#include "layers/ops/adaptive_avg_pool2d.h"
#include "layers/ops/max_pool2d.h"
#include "layers/ops/resize.h"

namespace atrous {

// Equal to the reference to the bit.
std::unique_ptr<Kernel> make_max_pool2d_channelwise(const MaxPool2d&, Isa);

// Sums each row in fp32 and the rows in double.
std::unique_ptr<Kernel> make_adaptive_avg_pool2d_channelwise(const AdaptiveAvgPool2d&, Isa);

// Both modes and both alignments. Nearest is equal to the reference to the bit; bilinear too, save where
// fused multiply-add rounds once instead of twice.
std::unique_ptr<Kernel> make_resize_channelwise(const Resize&, Isa);

}  // namespace atrous
