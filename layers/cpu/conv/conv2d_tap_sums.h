// Conv2d of very few outputs, such as the head of a network of two or four classes: so few that those of all
// taps together fit into a tile's vectors, where one tap's would leave most of a vector empty.
//
//   p[y][x][ky][kx][o] = sum over i of in[y][x][i] * weight[o][i][ky][kx]
//   out[y][x][o]       = bias[o] + sum over ky, kx of p[y - padding + ky][x - padding + kx][ky][kx][o]
//
// The first is a 1x1 convolution, done a row of pixels at a time (row_tile.h); the second reads kernel_h such
// rows, which stay in the cache. For 4 outputs of 3x3 that is a third of the products with AVX-512, for one a
// ninth.
#pragma once

#include <memory>

#include "layers/cpu/isa.h"
#include "layers/graph/kernel.h"
#include "layers/ops/conv2d.h"

namespace atrous {

// Null unless the convolution is ungrouped, undilated, larger than 1x1, of stride 1, has at most 4 outputs,
// no more of all taps together than three vectors hold, and no activation but ReLU.
std::unique_ptr<Kernel> make_conv2d_tap_sums(const Conv2d&, Isa);

}  // namespace atrous
