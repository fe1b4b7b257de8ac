// What the two families of VainF/DeepLabV3Plus-Pytorch share: a ResNet or a MobileNetV2 under `backbone`, the
// separable option, and the output stride, which files do not tell: 16 as published, unless a name or
// --arch os=8 says otherwise. The logits grow without align_corners.
// network/modeling.py, network/_deeplab.py
#pragma once

#include <initializer_list>
#include <string_view>

#include "layers/networks/deeplab.h"

namespace atrous::networks {

constexpr std::string_view vainf_stems[] = {"backbone.conv1.weight",
                                            "backbone.low_level_features.0.0.weight"};
constexpr std::string_view vainf_separable = "-separable";
constexpr std::string_view vainf_voc = "VOC 2012 val", vainf_cityscapes = "Cityscapes val";

struct VainfFeatures {
  Var low;   // a quarter of the size: layer1, feature 3
  Var last;  // at the output stride
};
VainfFeatures vainf_backbone(Module, Var x, std::string_view name, std::int64_t output_stride);

// Whether `variant` is `prefix`, the name of a backbone, "-os16" or "-os8", and perhaps "-separable".
bool is_vainf_variant(std::string_view prefix, std::string_view variant);

// The keys of a backbone and `head`. `separable`: the key of a separable convolution.
Evidence look_for_vainf(const StateDict&, std::string_view prefix,
                        std::initializer_list<std::string_view> head, std::string_view separable);

// Photos of Cityscapes, 19 classes, at their own size; of anything else as VOC's.
Network finish_vainf(Var logits, std::int64_t output_stride);

}  // namespace atrous::networks
