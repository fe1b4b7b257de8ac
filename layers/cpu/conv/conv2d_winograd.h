// Conv2d with a 3x3 kernel by Winograd's minimal filtering (winograd_scheme.h): the same sums from a fraction
// of the multiplications.
//
// The output is covered by tiles. For every tile and input channel the n x n inputs under it are transformed;
// then the products at each of the n * n points are an ordinary matrix product,
//
//   tiles x input channels   times   input channels x output channels
//
// and the sums at all points are transformed back to the tile's outputs, with bias, residual and activation.
//
// Dilation. A convolution with dilation d is d * d ordinary ones on the interleaved sub-grids of every d-th
// row and column; each is covered by tiles of its own, and all tiles go through the same matrix products. A
// sub-grid of at most 3 pixels, as at ASPP's large rates, has nothing but padding around it and takes the
// schemes made for that. Where a map's size is no multiple of the tile, smaller tiles finish it.
//
// Stride 2, and maps whose pixels are repeated. Tiles of their own, in which several points along an axis
// have the same weights: these are rows of one matrix product, with those of all other tiles. A tile of 7 x 7
// points takes 25 products of matrices, and so many transformed weights.
//
// Blocking. Input channels in chunks of at most 256, output channels in blocks of 64. All threads transform
// the inputs of a pass (as many chunks as 12 MB hold). Then tasks of one row of points and one block of
// output channels: for each chunk they transform the block's weights at these points into half a megabyte of
// their own, and multiply. So the weights stay in memory as they are, not 64 / 9 as large, and their
// transforms never leave the L2 cache; the transformed inputs of the row of points, which all
// blocks read, stay in the third-level one. After the last pass the outputs are transformed. Large maps are
// cut into blocks of tiles. Every sum runs in the order of the channels whatever the blocking: the result is
// bitwise the same for any number of threads and any workspace.
//
// Measured (Zen 4 with AVX-512, 117 GFLOP/s, one thread, 65x65): 512 -> 512 channels at dilation 4 in 46 ms,
// of which 39 are products (92% of the peak), the rest the transforms of inputs, weights and outputs in equal
// parts; by implicit GEMM 185 ms. ASPP's 2048 -> 256 at 12, 24, 36: 97, 95, 100 ms; 318, 237, 170.
#pragma once

#include "layers/cpu/conv/packed_conv2d.h"
#include "layers/graph/kernel.h"

namespace atrous {

// Tiles of at most `largest_tile` (2, 3, 4 or 6) outputs a side. Null when the layer is not a 3x3 convolution
// of stride 1 with one group and at least 16 input channels; at stride 2 tiles of 3 alone, at dilation 1.
std::unique_ptr<Kernel> make_conv2d_winograd(std::shared_ptr<const PackedConv2d>, int largest_tile);

// DoubledConv2d, of its packed convolution, from the map before it is grown: a tile of 6x6 outputs takes 49
// products in place of 64 by the tiles above and 324 of the plain sum. Null for less than 16 input channels.
std::unique_ptr<Kernel> make_doubled_conv2d_winograd(std::shared_ptr<const PackedConv2d>);

}  // namespace atrous
