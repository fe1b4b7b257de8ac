// What the DeepLab families of several publishers share: atrous spatial pyramid pooling, and the output
// stride, which decides its rates.
#pragma once

#include <array>
#include <string>
#include <string_view>
#include <vector>

#include "layers/networks/conv_norm.h"
#include "layers/networks/family.h"

namespace atrous::networks {

// A 3x3 convolution; or, where the module has a `body`, a depthwise 3x3 convolution with the same dilation
// (body.0) and a 1x1 convolution (body.1), which Chen et al. 2018 call atrous separable convolution.
// `separable`: which of them a network without a checkpoint has.
Var conv3x3(Module, Var x, const ConvOptions&, bool separable = false);

// ASPP, atrous spatial pyramid pooling (Chen et al. 2017, "Rethinking Atrous Convolution", section 3.3): the
// same map seen by five branches side by side, of 256 channels each as published,
//   branches[0]     1x1 convolution
//   branches[1..3]  3x3 convolutions dilated by the rates, by Chen et al. 2018 also separable
//   pooling         the global mean, 1x1 convolution (1), spread back over the map
// each with batch norm (2 of pooling) and relu, then concatenated and projected by a 1x1 convolution.
struct Aspp {
  Module place;  // names the concatenation
  std::array<ConvNorm, 4> branches;
  Module pooling;
  ConvNorm project;
  bool separable = false;  // of a network without a checkpoint
  // How branches 1 to 3 read their convolutions, separable or not.
  Var (*conv3x3)(Module, Var x, const ConvOptions&, bool separable) = networks::conv3x3;
};
Var aspp(const Aspp&, Var x, const std::vector<std::int64_t>& rates);

// With torchvision's keys: convs.0 to convs.3, convs.4 for the pooling, project.
Aspp torchvision_aspp(Module);

constexpr std::int64_t aspp_channels = 256;  // of every branch
constexpr std::int64_t voc_classes = 21;

// DeepLabV3's head, with torchvision's keys: ASPP (0), 3x3 convolution (1), batch norm (2), relu, 1x1
// convolution to the classes (4).
Var deeplabv3_head(Module, Var x, const std::vector<std::int64_t>& rates, bool separable = false);

// Hyper os and rates of a DeepLabV3 or V3+ whose variant's name ends in its output stride, as in "-os16"
// (output_stride_in): 6, 12, 18 at 16 and 12, 24, 36 at 8.
struct DeeplabSpacing {
  std::int64_t output_stride;
  std::vector<std::int64_t> rates;
};
DeeplabSpacing deeplab_spacing(std::string_view variant, Hyper&);

// The backbone in a variant's name: resnet50 of "deeplabv3plus-vainf-resnet50-os16".
std::string_view backbone_in(std::string_view variant, std::string_view prefix);

// Whether a name is `prefix`, the name of a ResNet of Bottlenecks or `other`, and "-os16" or "-os8".
bool is_deeplab_variant(std::string_view name, std::string_view prefix, std::string_view other);

// Photos as both repositories evaluate them on VOC: ImageNet's mean and std, the shorter side resized to 513.
constexpr Preparation deeplab_preparation{.resize = {.kind = ResizeRule::Kind::shorter_side, .width = 513}};

}  // namespace atrous::networks
