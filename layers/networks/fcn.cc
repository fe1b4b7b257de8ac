// FCN, as torchvision builds it: an FCN head on a dilated backbone.
// torchvision/models/segmentation/fcn.py
#include "layers/networks/torchvision.h"

namespace atrous::networks {

namespace {

constexpr std::string_view prefix = "fcn_";

constexpr std::string_view variants[] = {"fcn_resnet18",          "fcn_resnet34",  "fcn_resnet50",
                                         "fcn_resnet101",         "fcn_resnet152", "fcn_mobilenet_v3_large",
                                         "fcn_mobilenet_v3_small"};

constexpr PublishedCheckpoint published[] = {
    {"fcn_resnet50", "fcn_resnet50_coco-1167a1af.pth", torchvision_folder, 135, 60.5, torchvision_data},
    {"fcn_resnet101", "fcn_resnet101_coco-7ecb50ca.pth", torchvision_folder, 208, 63.7, torchvision_data}};

Evidence recognise(const StateDict& state) {
  return look_for_backbone(state, prefix, {"classifier.0.weight"});
}

Network build(Module m, std::string_view variant, Hyper& hyper) {
  const Features features =
      backbone(m["backbone"], graph_input(m.builder(), 3), variant.substr(prefix.size()), hyper);
  return finish(m, fcn_head(m["classifier"], features.last), features);
}

}  // namespace

extern const Family fcn;
constinit const Family fcn{
    .name = "fcn",
    .title = "FCN",
    .source = "Long, Shelhamer & Darrell 2015, \"Fully Convolutional Networks\"; torchvision",
    .variants = variants,
    .is_variant = [](std::string_view name) { return is_variant_of(prefix, name); },
    .published = published,
    .auxiliary = "aux_classifier",
    .stems = torchvision_stems,
    .head = torchvision_head,
    .recognise = recognise,
    .build = build};

}  // namespace atrous::networks
