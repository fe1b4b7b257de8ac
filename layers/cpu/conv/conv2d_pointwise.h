// 1x1 convolution with stride 1: a matrix product, pixels times weights, whose left matrix is the map as it
// lies in memory. Nothing is gathered or packed but the weights, once; every sum is finished in registers and
// stored once. Tasks of up to 192 pixels and all output channels; of some of them where pixels are few.
//
// Pixels of 1024 or 2048 channels would lie whole pages apart, and those of a tile in the same few sets of
// the L1 cache: a plan leaves a line between them.
//
// Measured (Zen 5 with AVX-512, 274 GFLOP/s, one thread): 247 to 252 GFLOP/s on 65x65 maps of 1024 and 2048
// channels, where implicit GEMM gives 223 to 235: it copies its pixels first, a tenth of its time. A residual
// is fetched into the cache when its tile begins: layers with one 237 to 248, 197 to 224 without that.
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

// `threads` pack the weights. Null unless the kernel is 1x1, stride 1, unpadded and ungrouped.
std::unique_ptr<Kernel> make_conv2d_pointwise(const Conv2d&, Isa, int threads = 1);

// Null likewise.
std::unique_ptr<Kernel> make_gated_conv2d_pointwise(const GatedConv2d&, Isa, int threads = 1);

}  // namespace atrous
