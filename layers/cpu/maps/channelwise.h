// Max pooling and unpooling, adaptive average pooling, bilinear resizing and L2 normalisation along the
// channels: in NHWC neighbouring floats belong to neighbouring channels, so every vector does the same thing
// to as many channels as it holds.
#pragma once

#include <memory>

#include "layers/cpu/isa.h"
#include "layers/graph/kernel.h"
#include "layers/ops/adaptive_avg_pool2d.h"
#include "layers/ops/l2_norm.h"
#include "layers/ops/max_pool2d.h"
#include "layers/ops/max_unpool2d.h"
#include "layers/ops/resize.h"

namespace atrous {

// Equal to the reference to the bit.
std::unique_ptr<Kernel> make_max_pool2d_channelwise(const MaxPool2d&, Isa);

// Equal to the reference to the bit where all values are numbers.
std::unique_ptr<Kernel> make_max_unpool2d_channelwise(const MaxUnpool2d&, Isa);

// Sums in fp32.
std::unique_ptr<Kernel> make_l2_norm_channelwise(const L2Norm&, Isa);

// Sums each row in fp32 and the rows in double.
std::unique_ptr<Kernel> make_adaptive_avg_pool2d_channelwise(const AdaptiveAvgPool2d&, Isa);

// Both modes and both alignments. Nearest is equal to the reference to the bit; bilinear too, save where
// fused multiply-add rounds once instead of twice.
std::unique_ptr<Kernel> make_resize_channelwise(const Resize&, Isa);

}  // namespace atrous
