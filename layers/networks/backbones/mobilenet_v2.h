// MobileNetV2 as the DeepLab repositories build it: no 1x1 convolution and no classifier at the end, the last
// stages dilated; and torchvision's, feature by feature.
//
// Sandler et al. 2018, "MobileNetV2", table 2; jfzhang95/pytorch-deeplab-xception
// (modeling/backbone/mobilenet.py), VainF/DeepLabV3Plus-Pytorch (network/backbone/mobilenetv2.py) and
// torchvision.
//
// A quirk of the first two: a block pads its input by the depthwise convolution's dilation, then expands it,
// then runs the depthwise convolution without padding. Around the map the depthwise convolution therefore
// sees relu6(bn(0)), a constant of each channel, where torchvision's sees zeros. Here the expansion, a 1x1
// convolution, does the padding, which comes to the same.
#pragma once

#include "layers/graph/builder.h"

namespace atrous {

// Where the publishers differ.
enum class MobilenetV2 {
  // Keys conv.0 .. conv.7 in a block. Every layer is registered twice, under `features` and under
  // `low_level_features` (0 to 3) or `high_level_features` (4 to 17): torch copies both entries of a file
  // into
  // one tensor, the latter last. A stage that gives up its stride keeps the dilation before it.
  jfzhang,
  // Keys conv.0.0 .. conv.3 as torchvision's, under low_level_features and high_level_features alone. The
  // first convolution has no padding. A stage that gives up its stride takes twice the dilation from its
  // second block on.
  vainf,
  // Keys conv.0.0 .. conv.3 under `features`, without the quirk. torchvision/models/mobilenetv2.py.
  torchvision,
};

struct MobilenetV2Features {
  Var low;   // feature 3: a quarter of the size, 24 channels
  Var last;  // feature 17: 320 channels at the output stride
};

// Output stride 16 or 8. Not torchvision's, which mobilenet_v2_feature() builds.
MobilenetV2Features mobilenet_v2(Module, Var x, MobilenetV2, std::int64_t output_stride);

// One of torchvision's features, 0 to 18: a 3x3/2 convolution, 17 inverted residuals, a 1x1 convolution to
// 1280 channels. Above 1, `dilation` takes the place of the stride.
Var mobilenet_v2_feature(Module features, int number, Var x, std::int64_t dilation = 1);
constexpr int mobilenet_v2_features = 19;

}  // namespace atrous
