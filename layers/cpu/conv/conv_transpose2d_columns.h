// The transposed convolution of stride 1 that makes a larger map out of a smaller one, as torch and Caffe
// compute all of them ("col2im"): a matrix product of the input's pixels with the taps of all outputs, then
// each output pixel sums the products that fall on it.
//
//   column[y, x, (ky, kx, o)] = sum over i of in[y, x, i] * weight[i, o, ky, kx]
//   out[Y, X, o] = bias[o] + sum over ky, kx of column[Y + padding - ky, X + padding - kx, (ky, kx, o)]
//
// An ordinary convolution would multiply the padding around the smaller map too: DeconvNet's 7x7 kernel on a
// single pixel (Noh, Hong & Han 2015) reads every weight once here. The product is made a row of taps at a
// time, which bounds the memory of packing to that row's weights.
#pragma once

#include <memory>

#include "layers/cpu/isa.h"
#include "layers/graph/kernel.h"
#include "layers/ops/conv_transpose2d.h"

namespace atrous {

// `threads` pack the weights. Null unless ungrouped, undilated, of stride 1 and 2 * padding < kernel - 1 both
// ways: other maps do not grow.
std::unique_ptr<Kernel> make_conv_transpose2d_columns(const ConvTranspose2d&, Isa, int threads = 1);

}  // namespace atrous
