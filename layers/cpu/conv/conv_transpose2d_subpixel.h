// The transposed convolution as an ordinary one that makes all outputs of a stride x stride square at once
// (Shi et al. 2016, "Is the deconvolution layer the same as a convolutional layer?").
//
// Output row Y = stride * q + r - padding sums the taps ky = r, r + stride, ... of input rows q, q - 1, ...:
// for each r an ordinary convolution with ceil(kernel / stride) taps a side, and all of them read the same
// input pixels. So the stride^2 convolutions are one, of stride^2 * out_channels outputs, whose pixels are
// then spread over the map. Computed in bands of q, whose size depends on the shapes alone.
//
// Depthwise ones (FCN's bilinear upsampling) run along the channels, a vector of them at a time.
#pragma once

#include <memory>

#include "layers/cpu/isa.h"
#include "layers/graph/kernel.h"
#include "layers/ops/conv_transpose2d.h"

namespace atrous {

// `threads` pack the weights. Null unless ungrouped and undilated.
std::unique_ptr<Kernel> make_conv_transpose2d_subpixel(const ConvTranspose2d&, Isa, int threads = 1);

// Null unless groups = channels of both sides, more than one, and undilated.
std::unique_ptr<Kernel> make_conv_transpose2d_depthwise(const ConvTranspose2d&, Isa);

}  // namespace atrous
