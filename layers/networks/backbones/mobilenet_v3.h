// MobileNetV3, as torchvision builds it for segmentation: no pooling and no classifier at the end, the last
// stage dilated instead of strided.
//
// Howard et al. 2019, "Searching for MobileNetV3"; torchvision/models/mobilenetv3.py with dilated = True.
// Channels, kernel sizes and which blocks expand or have a squeeze-excitation come from the checkpoint, so
// that every width loads. Strides, dilations and activations are the architecture's, and so is the batch
// norms' eps: 1e-3, where everything else in torchvision has 1e-5.
#pragma once

#include "layers/graph/builder.h"

namespace atrous {

// Squeeze-excitation (Hu, Shen & Sun 2018): every channel is multiplied by a gate that the global mean of all
// channels decides,
//   x * hardsigmoid(fc2(relu(fc1(mean of x))))
// Keys fc1, fc2: 1x1 convolutions with bias. torchvision/ops/misc.py.
Var squeeze_excitation(Module, Var x);

// What the weights do not know of an inverted residual.
struct InvertedResidual {
  std::int64_t stride, dilation;  // a dilated block is not strided, whatever its stride says
  ActivationKind activation;
};

// 1x1 expand, depthwise k x k, squeeze-excitation, 1x1 project without activation, plus the input where the
// stride is 1 and the channels stay the same. Expansion and squeeze-excitation may be absent. Keys block.0,
// ... in this order; a convolution is 0, its batch norm 1.
Var inverted_residual(Module, Var x, const InvertedResidual&);

struct MobilenetFeatures {
  Var low, high;               // the block that brings the map to 1/8 of the picture, and the last feature
  std::int64_t output_stride;  // of high: 16
};

// 3x3/2 convolution with hard-swish, 15 (Large) or 11 (Small) inverted residuals, 1x1 convolution with
// hard-swish. Keys 0 .. 16 or 0 .. 12.
MobilenetFeatures mobilenet_v3(Module, Var x);

// "mobilenet_v3_large" or "mobilenet_v3_small"; other widths than the published ones with the channels of the
// first and the last feature behind it: "mobilenet_v3_large(8,480)".
std::string mobilenet_name(Module);

}  // namespace atrous
