// DeepLabV3 of VainF/DeepLabV3Plus-Pytorch: torchvision's head, one module deeper, at output stride 16. With
// the separable option every 3x3 convolution of the head is separable.
// network/_deeplab.py (DeepLabHead)
#include "layers/networks/vainf.h"

namespace atrous::networks {

namespace {

constexpr std::string_view prefix = "deeplabv3-vainf-";

constexpr std::string_view variants[] = {"deeplabv3-vainf-resnet50-os16",
                                         "deeplabv3-vainf-resnet50-os8",
                                         "deeplabv3-vainf-resnet101-os16",
                                         "deeplabv3-vainf-resnet101-os8",
                                         "deeplabv3-vainf-mobilenet-os16",
                                         "deeplabv3-vainf-mobilenet-os8",
                                         "deeplabv3-vainf-resnet50-os16-separable",
                                         "deeplabv3-vainf-resnet50-os8-separable",
                                         "deeplabv3-vainf-resnet101-os16-separable",
                                         "deeplabv3-vainf-resnet101-os8-separable",
                                         "deeplabv3-vainf-mobilenet-os16-separable",
                                         "deeplabv3-vainf-mobilenet-os8-separable"};

constexpr PublishedCheckpoint published[] = {
    {"deeplabv3-vainf-mobilenet-os16", "best_deeplabv3_mobilenet_voc_os16.pth", by_hand, 20, 70.1, vainf_voc},
    {"deeplabv3-vainf-resnet50-os16", "best_deeplabv3_resnet50_voc_os16.pth", by_hand, 151, 76.9, vainf_voc},
    {"deeplabv3-vainf-resnet101-os16", "best_deeplabv3_resnet101_voc_os16.pth", by_hand, 224, 77.3,
     vainf_voc}};

Evidence recognise(const StateDict& state) {
  return look_for_vainf(state, prefix, {"classifier.classifier.0.convs", "classifier.classifier.4"},
                        "classifier.classifier.1.body");
}

Network build(Module m, std::string_view variant, Hyper& hyper) {
  const DeeplabSpacing spacing = deeplab_spacing(variant, hyper);
  const VainfFeatures features = vainf_backbone(m["backbone"], graph_input(m.builder(), 3),
                                                backbone_in(variant, prefix), spacing.output_stride);
  const Module head = m["classifier"]["classifier"];
  return finish_vainf(deeplabv3_head(head, features.last, spacing.rates, variant.ends_with(vainf_separable)),
                      spacing.output_stride);
}

}  // namespace

extern const Family deeplabv3_vainf;
constinit const Family deeplabv3_vainf{
    .name = "deeplabv3-vainf",
    .title = "DeepLabV3",
    .source = "Chen et al. 2017, \"Rethinking Atrous Convolution\"; VainF",
    .variants = variants,
    .is_variant = [](std::string_view name) { return is_vainf_variant(prefix, name); },
    .published = published,
    .stems = vainf_stems,
    .head = "classifier.classifier.0.",
    .recognise = recognise,
    .build = build};

}  // namespace atrous::networks
