// DeepLabV3+ of jfzhang95/pytorch-deeplab-xception: atrous spatial pyramid pooling, and a decoder that joins
// its answer with an early map, on one of four backbones.
// modeling/deeplab.py, aspp.py, decoder.py
//
// Files do not tell their output stride: 16 as published, unless a name or --arch os=8 says otherwise. DRN is
// at 8 by construction, with the rates of 8. The logits grow with align_corners.
#include "layers/base/error.h"
#include "layers/networks/backbones/drn.h"
#include "layers/networks/backbones/mobilenet_v2.h"
#include "layers/networks/backbones/resnet.h"
#include "layers/networks/backbones/xception.h"
#include "layers/networks/deeplab.h"

namespace atrous::networks {

namespace {

constexpr std::string_view prefix = "deeplabv3plus-jfzhang-", drn = "drn-d-54", mobilenet = "mobilenet",
                           xception = "xception";

constexpr std::string_view variants[] = {
    "deeplabv3plus-jfzhang-resnet101-os16", "deeplabv3plus-jfzhang-resnet101-os8",
    "deeplabv3plus-jfzhang-xception-os16",  "deeplabv3plus-jfzhang-xception-os8",
    "deeplabv3plus-jfzhang-mobilenet-os16", "deeplabv3plus-jfzhang-mobilenet-os8",
    "deeplabv3plus-jfzhang-drn-d-54"};

constexpr std::string_view voc = "VOC 2012 val";

constexpr PublishedCheckpoint published[] = {
    {"deeplabv3plus-jfzhang-resnet101-os16", "deeplab-resnet.pth.tar", by_hand, 227, 78.4, voc},
    {"deeplabv3plus-jfzhang-mobilenet-os16", "deeplab-mobilenet.pth.tar", by_hand, 22, 70.8, voc},
    {"deeplabv3plus-jfzhang-drn-d-54", "deeplab-drn.pth.tar", by_hand, 156, 78.9, voc}};

constexpr std::string_view stems[] = {"backbone.conv1.weight", "backbone.layer0.0.weight",
                                      "backbone.high_level_features.4.conv.0.weight",
                                      "backbone.features.0.0.weight"};

std::string backbone_of(const StateDict& state) {
  if (state.has("backbone.layer0")) return std::string(drn);
  if (state.has("backbone.high_level_features") || state.has("backbone.features"))
    return std::string(mobilenet);
  if (state.has("backbone.block20")) return std::string(xception);
  return resnet_name(state, "backbone");
}

Evidence recognise(const StateDict& state) {
  Evidence evidence = look_for(state, {"backbone", "aspp.aspp1.atrous_conv", "decoder.last_conv"});
  if (!evidence.complete()) return evidence;
  evidence.variant = std::string(prefix) + backbone_of(state);
  if (evidence.variant.ends_with(drn)) return evidence;
  evidence.same_keys = {evidence.variant + "-os8"};
  evidence.variant += "-os16";
  return evidence;
}

struct Features {
  Var low, last;
};

// The last stage is a multi-grid of 1, 2, 4. At output stride 8 the first block of the third is dilated as
// the others, unlike torchvision's.
Spacings resnet_spacings(std::int64_t output_stride) {
  constexpr std::array<std::int64_t, 3> grid{1, 2, 4};
  if (output_stride == 8) return {{{}, {2}, {1, 2, 2}, {1, 4, 4, grid}}};
  return {{{}, {2}, {2}, {1, 2, 2, grid}}};
}

Features backbone(Module m, Var x, std::string_view name, std::int64_t output_stride) {
  if (name == drn) {
    const DrnFeatures f = drn_d_54(m, x);
    return {f.low, f.last};
  }
  if (name == mobilenet) {
    const MobilenetV2Features f = mobilenet_v2(m, x, MobilenetV2::jfzhang, output_stride);
    return {f.low, f.last};
  }
  if (name == xception) {
    const XceptionFeatures f = aligned_xception(m, x, output_stride);
    return {f.low, f.last};
  }
  const ResnetFeatures f = resnet(m, x, resnet_in(m, name), resnet_spacings(output_stride));
  return {f.layers[0], f.layers[3]};
}

Aspp aspp_in(Module m) {
  const auto branch = [&](int number) {
    const Module at = m[str_cat("aspp", number)];
    return ConvNorm{at["atrous_conv"], at["bn"]};
  };
  return {.place = m,
          .branches = {branch(1), branch(2), branch(3), branch(4)},
          .pooling = m["global_avg_pool"],
          .project = {m["conv1"], m["bn1"]}};
}

// Chen et al. 2018, "Encoder-Decoder with Atrous Separable Convolution", section 3.1: the early map, reduced
// to 48 channels, beside the pyramid's answer, through two 3x3 convolutions to the classes.
Var decoder(Module m, Var low, Var x) {
  const Module last = m["last_conv"];
  low = conv_norm_relu({m["conv1"], m["bn1"]}, low, {.out = m.channels(48)});
  x = resize_like(m.path() + ".resize", x, low, {.mode = ResizeMode::bilinear, .align_corners = true});
  x = concat(m.path() + ".concat", {x, low});
  const ConvOptions options{.out = m.channels(aspp_channels), .kernel = 3};
  x = conv_norm_relu({last[4], last[5]}, conv_norm_relu({last[0], last[1]}, x, options), options);
  return conv2d(last[8], x, {.out = m.classes(voc_classes), .bias = true});
}

Network build(Module m, std::string_view variant, Hyper& hyper) {
  const std::string_view name = backbone_in(variant, prefix);
  const DeeplabSpacing spacing =
      name == drn ? DeeplabSpacing{hyper.integer("os", 8, {8}), hyper.integers("rates", {12, 24, 36})}
                  : deeplab_spacing(variant, hyper);
  const Features features = backbone(m["backbone"], graph_input(m.builder(), 3), name, spacing.output_stride);
  const Var x = aspp(aspp_in(m["aspp"]), features.last, spacing.rates);
  const Var logits = decoder(m["decoder"], features.low, x);
  output("out", logits);

  Network network;
  network.classes = logits.channels();
  network.output_stride = 4;  // of the early map, which the logits have
  network.preparation = deeplab_preparation;
  network.answer.align_corners = true;
  return network;
}

}  // namespace

extern const Family deeplabv3plus_jfzhang;
constinit const Family deeplabv3plus_jfzhang{
    .name = "deeplabv3plus-jfzhang",
    .title = "DeepLabV3+",
    .source = "Chen et al. 2018, \"Encoder-Decoder with Atrous Separable Convolution\"; jfzhang95",
    .variants = variants,
    .is_variant = [](std::string_view name) { return is_deeplab_variant(name, prefix, mobilenet); },
    .published = published,
    .stems = stems,
    .head = "aspp.aspp1.",
    .recognise = recognise,
    .build = build};

}  // namespace atrous::networks
