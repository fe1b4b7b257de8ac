// LR-ASPP, lite reduced atrous spatial pyramid pooling, on a MobileNetV3.
// torchvision/models/segmentation/lraspp.py
#include "layers/networks/torchvision.h"

namespace atrous::networks {

namespace {

constexpr std::string_view prefix = "lraspp_";

constexpr std::string_view variants[] = {"lraspp_mobilenet_v3_large", "lraspp_mobilenet_v3_small"};

constexpr PublishedCheckpoint published[] = {{"lraspp_mobilenet_v3_large",
                                              "lraspp_mobilenet_v3_large-d234d4ea.pth", torchvision_folder,
                                              13, 57.9, torchvision_data}};

// LRASPPHead (Howard et al. 2019, "Searching for MobileNetV3", section 6.4). The high-level map is reduced by
// a 1x1 convolution with batch norm and relu (cbr) and gated by its own global mean through a 1x1 convolution
// and a sigmoid (scale); the result grows to the size of the low-level map, and the classes are the sum of a
// 1x1 convolution of each (low_classifier, high_classifier). Keys cbr.0, cbr.1, scale.1, low_classifier,
// high_classifier.
Var lraspp_head(Module m, Var low, Var high) {
  const Module cbr = m["cbr"], scale = m["scale"];
  const std::int64_t width = m.channels(128), classes = m.classes(torchvision_classes);
  Var x = relu(batch_norm(cbr[1], conv2d(cbr[0], high, {.out = width})));
  const Var mean = adaptive_avg_pool2d(scale[0].path(), high, {.out_h = 1, .out_w = 1});
  x = mul(x, activation(conv2d(scale[1], mean, {.out = width}), ActivationKind::sigmoid));
  x = resize_like(m.path() + ".resize", x, low, {.mode = ResizeMode::bilinear, .align_corners = false});
  const Var of_high = conv2d(m["high_classifier"], x, {.out = classes, .bias = true}),
            of_low = conv2d(m["low_classifier"], low, {.out = classes, .bias = true});
  return add(of_low, of_high);
}

Evidence recognise(const StateDict& state) {
  return look_for_backbone(state, prefix, {"classifier.cbr"}, false);
}

Network build(Module m, std::string_view variant, Hyper& hyper) {
  Features features =
      backbone(m["backbone"], graph_input(m.builder(), 3), variant.substr(prefix.size()), hyper);
  features.output_stride = 8;                          // of the low-level map, which the logits have
  if (m.builder().published) m.builder().aux = false;  // torchvision publishes none with an auxiliary head
  return finish(m, lraspp_head(m["classifier"], features.early, features.last), features);
}

}  // namespace

extern const Family lraspp;
constinit const Family lraspp{
    .name = "lraspp",
    .title = "LR-ASPP",
    .source = "Howard et al. 2019, \"Searching for MobileNetV3\"; torchvision",
    .variants = variants,
    .is_variant = [](std::string_view name) { return is_variant_of(prefix, name, false); },
    .published = published,
    .auxiliary = "aux_classifier",
    .stems = torchvision_stems,
    .head = torchvision_head,
    .recognise = recognise,
    .build = build};

}  // namespace atrous::networks
