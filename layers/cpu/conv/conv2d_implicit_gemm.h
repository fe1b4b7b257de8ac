// Conv2d for every kernel size, stride, dilation and group count, as a matrix product that is never laid out
// in memory ("implicit GEMM").
//
//   pixels x (taps * channels)   times   (taps * channels) x output channels
//
// The left matrix exists only a block at a time: for a block of output pixels and a stretch of k, the input
// pixels under the taps are copied side by side into a panel that stays in the L2 cache, then
// multiplied by the packed weights (gemm_tile.h). Where all taps of a stretch fall into the padding for a
// group of pixels, nothing is computed: at dilation 36 on a 65x65 map that is more than half of a 3x3 kernel.
//
// Blocking, per task: up to 192 pixels x 512 output channels; k in stretches of at most 256. The output tile
// accumulates in place between stretches. Tasks depend on the shape alone, never on the number of threads,
// and every output is summed in the order of k: the result is bitwise the same for any number of threads.
//
// Of a precise layer 16 products at a time are summed as floats, and their sums exactly (compensated_tile.h):
// what remains of rounding is little more than that of the result.
//
// Measured (Zen 4 with AVX-512, 117 GFLOP/s, one thread): 98 to 107 GFLOP/s on ResNet's 1x1 layers of 1024
// and 2048 channels, 98 on its 3x3/2.
#pragma once

#include "layers/cpu/conv/packed_conv2d.h"
#include "layers/graph/kernel.h"

namespace atrous {

// Takes any Conv2d.
std::unique_ptr<Kernel> make_conv2d_implicit_gemm(std::shared_ptr<const PackedConv2d>);

}  // namespace atrous
