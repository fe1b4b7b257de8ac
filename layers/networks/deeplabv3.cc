// DeepLabV3, as torchvision builds it: atrous spatial pyramid pooling on a dilated backbone.
// torchvision/models/segmentation/deeplabv3.py
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

constexpr std::int64_t published_width = 256;  // of every branch

Var aspp_conv(Module m, Var x, std::int64_t kernel, std::int64_t dilation) {
  return relu(batch_norm(
      m[1], conv2d(m[0], x, {.out = m.channels(published_width), .kernel = kernel, .dilation = dilation})));
}

Var aspp_pooling(Module m, Var x) {
  Var pooled = adaptive_avg_pool2d(m[0].path(), x, {.out_h = 1, .out_w = 1});
  pooled = relu(batch_norm(m[2], conv2d(m[1], pooled, {.out = m.channels(published_width)})));
  return resize_like(m.path() + ".resize", pooled, x, {.mode = ResizeMode::bilinear, .align_corners = false});
}

// ASPP, atrous spatial pyramid pooling (Chen et al. 2017, "Rethinking Atrous Convolution", section 3.3): the
// same map seen by five branches side by side,
//   convs.0      1x1 convolution
//   convs.1..3   3x3 convolutions with dilations 12, 24, 36, or other rates
//   convs.4      the global mean, 1x1 convolution, spread back over the map
// each with batch norm and relu, then concatenated and projected by a 1x1 convolution. Keys convs.0..4,
// project.
Var aspp(Module m, Var x, const std::vector<std::int64_t>& rates) {
  const Module convs = m["convs"], project = m["project"];
  const Var branches =
      concat(convs.path() + ".concat", {aspp_conv(convs[0], x, 1, 1), aspp_conv(convs[1], x, 3, rates[0]),
                                        aspp_conv(convs[2], x, 3, rates[1]),
                                        aspp_conv(convs[3], x, 3, rates[2]), aspp_pooling(convs[4], x)});
  return relu(batch_norm(project[1], conv2d(project[0], branches, {.out = m.channels(published_width)})));
}

// DeepLabHead: ASPP, 3x3 convolution, batch norm, relu, 1x1 convolution to the classes. Keys 0 (the ASPP), 1,
// 2, 4.
Var deeplab_head(Module m, Var x, const std::vector<std::int64_t>& rates) {
  x = aspp(m[0], x, rates);
  x = relu(batch_norm(m[2], conv2d(m[1], x, {.out = m.channels(published_width), .kernel = 3})));
  return conv2d(m[4], x, {.out = m.classes(torchvision_classes), .bias = true});
}

Evidence recognise(const StateDict& state) {
  return look_for_backbone(state, prefix, {"classifier.0.convs"});
}

Network build(Module m, std::string_view variant, Hyper& hyper) {
  const Features features =
      backbone(m["backbone"], graph_input(m.builder(), 3), variant.substr(prefix.size()), hyper);
  return finish(m, deeplab_head(m["classifier"], features.last, hyper.integers("rates", {12, 24, 36})),
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
