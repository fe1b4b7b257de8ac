// MobileNetV3, as torchvision builds it for segmentation: no pooling and no classifier at the end, the last
// stage dilated instead of strided.
//
// Howard et al. 2019, "Searching for MobileNetV3"; torchvision/models/mobilenetv3.py with dilated = True.
// Channels, kernel sizes and which blocks expand or have a squeeze-excitation come from the checkpoint, so
// that every width loads. Strides, dilations and activations are the architecture's, and so is the batch
// norms' eps: 1e-3, where everything else in torchvision has 1e-5.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "layers/graph/builder.h"

namespace atrous {

// One inverted residual: a row of torchvision's _mobilenet_v3_conf. Strides and activations are what the
// weights do not know; the other columns are sizes as published, which the weights decide where there are
// any.
struct InvertedResidual {
  std::int64_t kernel, expanded, out;
  bool excites;
  std::int64_t stride;
  ActivationKind activation;
  bool last_stage;  // dilated by 2 instead of strided where the network is
};

// Squeeze-excitation (Hu, Shen & Sun 2018): every channel is multiplied by a gate that the global mean of all
// channels decides,
//   x * hardsigmoid(fc2(relu(fc1(mean of x))))
// Keys fc1, fc2: 1x1 convolutions with bias. torchvision/ops/misc.py.
Var squeeze_excitation(Module, Var x);

// 1x1 expand, depthwise k x k, squeeze-excitation, 1x1 project without activation, plus the input where the
// stride is 1 and the channels stay the same. Expansion and squeeze-excitation may be absent. Keys block.0,
// ... in this order; a convolution is 0, its batch norm 1.
Var inverted_residual(Module, Var x, const InvertedResidual&, bool dilated);

enum class MobilenetV3 { large, small };

// Small ends with feature 12, Large with 16.
MobilenetV3 mobilenet_v3_of(const StateDict&, const std::string& module);

// "mobilenet_v3_large" or "mobilenet_v3_small"; other widths than the published ones with the channels of the
// first and the last feature behind it: "mobilenet_v3_large(8,480)".
std::string mobilenet_v3_name(const StateDict&, const std::string& module);

// "mobilenet_v3_large" and "mobilenet_v3_small"; nothing for other names, but for the channels in brackets.
std::optional<MobilenetV3> mobilenet_v3_by_name(std::string_view);

// 3x3/2 convolution with hard-swish, 15 (Large) or 11 (Small) inverted residuals, 1x1 convolution with
// hard-swish. Keys 0 .. 16 or 0 .. 12. Every feature in order; the output stride is 16 where the last stage
// is dilated and 32 where it is not.
struct MobilenetFeatures {
  std::vector<Var> all;
  std::size_t low;  // the feature that brings the map to 1/8 of the picture
};
MobilenetFeatures mobilenet_v3(Module, Var x, MobilenetV3, bool dilated);

}  // namespace atrous
