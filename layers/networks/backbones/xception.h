// Aligned Xception: Xception's separable convolutions at strides instead of max pooling, three in each of the
// middle's sixteen blocks, the last stages dilated.
//
// Chollet 2017, "Xception"; Chen et al. 2018, "Encoder-Decoder with Atrous Separable Convolution", figure 4;
// the keys and spacings of jfzhang95/pytorch-deeplab-xception (modeling/backbone/xception.py).
#pragma once

#include "layers/graph/builder.h"

namespace atrous {

struct XceptionFeatures {
  Var low;   // block1, rectified: a quarter of the size, 128 channels
  Var last;  // 2048 channels at the output stride
};

// Keys conv1, bn1, conv2, bn2, block1 .. block20, conv3 .. conv5, bn3 .. bn5. Output stride 16 or 8.
//
// A quirk: blocks 3 to 20 begin with a relu that works in place in the publisher's code, so that the block's
// shortcut sees the rectified input too, and a block of the middle is relu(x) + rep(x).
XceptionFeatures aligned_xception(Module, Var x, std::int64_t output_stride);

}  // namespace atrous
