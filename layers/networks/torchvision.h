// What torchvision's families share: a ResNet or a MobileNetV3 under `backbone`, whose name is the second
// part of a variant's, and an auxiliary FCN head on an earlier map.
// torchvision/models/segmentation/_utils.py.
#pragma once

#include <initializer_list>
#include <string_view>

#include "layers/networks/family.h"

namespace atrous::networks {

// FCNHead (Long, Shelhamer & Darrell 2015): 3x3 convolution to a quarter of the channels, batch norm, relu,
// 1x1 convolution to the classes, `classes` as published. (Dropout, index 3, does nothing in inference.) Keys
// 0, 1, 4. torchvision/models/segmentation/fcn.py.
constexpr std::int64_t torchvision_classes = 21;
Var fcn_head(Module, Var x, std::int64_t classes = torchvision_classes);

// The map that the head sees, and one from earlier on that the auxiliary head and LR-ASPP see too: a ResNet's
// layer3, a MobileNetV3's at an eighth of the picture.
struct Features {
  Var early, last;
  std::int64_t output_stride;  // of last
};

// The backbone of that name. Hyper: os, 8 for Bottlenecks, 32 for BasicBlocks, which are not dilated, 16 for
// a MobileNetV3.
Features backbone(Module, Var x, std::string_view name, Hyper&);

// Whether `variant` is `prefix` and the name of a backbone: "fcn_" and "resnet(1,1,1,1)".
bool is_variant_of(std::string_view prefix, std::string_view variant, bool resnets = true);

// The keys of a backbone and of `head`; the variant is `prefix` and the backbone's name.
Evidence look_for_backbone(const StateDict&, std::string_view prefix,
                           std::initializer_list<std::string_view> head, bool resnets = true);

// Builds "out" of the head's logits, and "aux" where it is asked for and there.
Network finish(Module, Var logits, const Features&);

constexpr std::string_view torchvision_stems[] = {"backbone.conv1.weight", "backbone.0.0.weight"},
                           torchvision_head = "classifier.";
constexpr std::string_view torchvision_folder = "https://download.pytorch.org/models/",
                           torchvision_data = "COCO val2017, the classes of VOC";

}  // namespace atrous::networks
