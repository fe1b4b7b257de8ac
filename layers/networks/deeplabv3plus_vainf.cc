// DeepLabV3+ of VainF/DeepLabV3Plus-Pytorch: atrous spatial pyramid pooling, and a decoder that joins its
// answer with an early map. With the separable option every 3x3 convolution of the head is separable.
// network/_deeplab.py (DeepLabHeadV3Plus)
#include "layers/networks/vainf.h"

namespace atrous::networks {

namespace {

constexpr std::string_view prefix = "deeplabv3plus-vainf-";

constexpr std::string_view variants[] = {"deeplabv3plus-vainf-resnet50-os16",
                                         "deeplabv3plus-vainf-resnet50-os8",
                                         "deeplabv3plus-vainf-resnet101-os16",
                                         "deeplabv3plus-vainf-resnet101-os8",
                                         "deeplabv3plus-vainf-mobilenet-os16",
                                         "deeplabv3plus-vainf-mobilenet-os8",
                                         "deeplabv3plus-vainf-resnet50-os16-separable",
                                         "deeplabv3plus-vainf-resnet50-os8-separable",
                                         "deeplabv3plus-vainf-resnet101-os16-separable",
                                         "deeplabv3plus-vainf-resnet101-os8-separable",
                                         "deeplabv3plus-vainf-mobilenet-os16-separable",
                                         "deeplabv3plus-vainf-mobilenet-os8-separable"};

constexpr PublishedCheckpoint published[] = {
    {"deeplabv3plus-vainf-mobilenet-os16", "best_deeplabv3plus_mobilenet_voc_os16.pth", by_hand, 20, 71.1,
     vainf_voc},
    {"deeplabv3plus-vainf-resnet50-os16", "best_deeplabv3plus_resnet50_voc_os16.pth", by_hand, 152, 77.2,
     vainf_voc},
    {"deeplabv3plus-vainf-resnet101-os16", "best_deeplabv3plus_resnet101_voc_os16.pth", by_hand, 225, 78.3,
     vainf_voc},
    {"deeplabv3plus-vainf-mobilenet-os16", "best_deeplabv3plus_mobilenet_cityscapes_os16.pth", by_hand, 20,
     72.1, vainf_cityscapes},
    {"deeplabv3plus-vainf-resnet101-os16", "best_deeplabv3plus_resnet101_cityscapes_os16.pth.tar", by_hand,
     225, 76.2, vainf_cityscapes}};

Evidence recognise(const StateDict& state) {
  return look_for_vainf(state, prefix,
                        {"classifier.project", "classifier.aspp.convs", "classifier.classifier.3"},
                        "classifier.classifier.0.body");
}

// The early map, reduced to 48 channels, beside the pyramid's answer, through one 3x3 convolution to the
// classes.
Var head(Module m, const VainfFeatures& features, const std::vector<std::int64_t>& rates, bool separable) {
  const Module project = m["project"], last = m["classifier"];
  Aspp pyramid = torchvision_aspp(m["aspp"]);
  pyramid.separable = separable;
  const Var low = conv_norm_relu({project[0], project[1]}, features.low, {.out = m.channels(48)});
  Var x = aspp(pyramid, features.last, rates);
  x = resize_like(m.path() + ".resize", x, low, {.mode = ResizeMode::bilinear, .align_corners = false});
  x = concat(m.path() + ".concat", {low, x});
  x = conv3x3(last[0], x, {.out = m.channels(aspp_channels), .kernel = 3}, separable);
  return conv2d(last[3], relu(batch_norm(last[1], x)), {.out = m.classes(voc_classes), .bias = true});
}

Network build(Module m, std::string_view variant, Hyper& hyper) {
  const DeeplabSpacing spacing = deeplab_spacing(variant, hyper);
  const VainfFeatures features = vainf_backbone(m["backbone"], graph_input(m.builder(), 3),
                                                backbone_in(variant, prefix), spacing.output_stride);
  const Var logits = head(m["classifier"], features, spacing.rates, variant.ends_with(vainf_separable));
  return finish_vainf(logits, 4);  // the early map's, which the logits have
}

}  // namespace

extern const Family deeplabv3plus_vainf;
constinit const Family deeplabv3plus_vainf{
    .name = "deeplabv3plus-vainf",
    .title = "DeepLabV3+",
    .source = "Chen et al. 2018, \"Encoder-Decoder with Atrous Separable Convolution\"; VainF",
    .variants = variants,
    .is_variant = [](std::string_view name) { return is_vainf_variant(prefix, name); },
    .published = published,
    .stems = vainf_stems,
    .head = "classifier.aspp.",
    .recognise = recognise,
    .build = build};

}  // namespace atrous::networks
