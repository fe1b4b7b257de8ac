// DeepLabV3, as torchvision builds it: atrous spatial pyramid pooling on a dilated backbone.
// torchvision/models/segmentation/deeplabv3.py
#include "layers/networks/deeplab.h"
#include "layers/networks/torchvision.h"

namespace atrous::networks {

namespace {

constexpr std::string_view prefix = "deeplabv3_";

constexpr std::string_view variants[] = {
    "deeplabv3_resnet50", "deeplabv3_resnet101", "deeplabv3_mobilenet_v3_large", "deeplabv3_resnet18",
    "deeplabv3_resnet34", "deeplabv3_resnet152", "deeplabv3_mobilenet_v3_small"};

constexpr PublishedCheckpoint published[] = {
    {"deeplabv3_resnet50", "deeplabv3_resnet50_coco-cd0a2569.pth", torchvision_folder, 161, 66.4,
     torchvision_data},
    {"deeplabv3_resnet101", "deeplabv3_resnet101_coco-586e9e4e.pth", torchvision_folder, 233, 67.4,
     torchvision_data},
    {"deeplabv3_mobilenet_v3_large", "deeplabv3_mobilenet_v3_large-fc3c493d.pth", torchvision_folder, 42,
     60.3, torchvision_data}};

Evidence recognise(const StateDict& state) {
  return look_for_backbone(state, prefix, {"classifier.0.convs"});
}

Network build(Module m, std::string_view variant, Hyper& hyper) {
  const Features features =
      backbone(m["backbone"], graph_input(m.builder(), 3), variant.substr(prefix.size()), hyper);
  return finish(m, deeplabv3_head(m["classifier"], features.last, hyper.integers("rates", {12, 24, 36})),
                features);
}

}  // namespace

extern const Family deeplabv3;
constinit const Family deeplabv3{
    .name = "deeplabv3",
    .title = "DeepLabV3",
    .source = "Chen et al. 2017, \"Rethinking Atrous Convolution\"; torchvision",
    .variants = variants,
    .is_variant = [](std::string_view name) { return is_variant_of(prefix, name); },
    .published = published,
    .auxiliary = "aux_classifier",
    .stems = torchvision_stems,
    .head = torchvision_head,
    .recognise = recognise,
    .build = build};

}  // namespace atrous::networks
