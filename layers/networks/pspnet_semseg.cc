// PSPNet, as hszhao's semseg builds it and as its authors first did for Caffe: pooling pyramids on a dilated
// ResNet with a deep stem. model/pspnet.py, model/resnet.py; hszhao/PSPNet.
#include <algorithm>
#include <array>

#include "layers/base/ascii.h"
#include "layers/base/error.h"
#include "layers/networks/backbones/resnet.h"
#include "layers/networks/conv_norm.h"
#include "layers/networks/torchvision.h"

namespace atrous::networks {

namespace {

constexpr std::string_view prefix = "pspnet-semseg-", caffe_prefix = "pspnet-caffe-";
constexpr std::string_view variants[] = {"pspnet-semseg-resnet50", "pspnet-semseg-resnet101",
                                         "pspnet-semseg-resnet152", "pspnet-caffe-resnet50",
                                         "pspnet-caffe-resnet101"};

constexpr std::string_view stems[] = {"layer0.0.weight", "conv1_1_3x3_s2.weight"};

constexpr PublishedCheckpoint published[] = {
    {"pspnet-semseg-resnet50", "train_epoch_100.pth", by_hand, 188, 41.9, "ADE20K val"},
    {"pspnet-semseg-resnet101", "train_epoch_50.pth", by_hand, 260, 79.1, "VOC 2012 val"},
    {"pspnet-caffe-resnet50", "pspnet50_ADE20K.caffemodel", by_hand, 188, 41.7, "ADE20K val"},
    {"pspnet-caffe-resnet101", "pspnet101_VOC2012.caffemodel", by_hand, 260, 85.4, "VOC 2012 test"}};

// What the Caffe model calls a place of semseg's:
//   layer0.0, .3, .6                        conv1_1_3x3_s2, conv1_2_3x3, conv1_3_3x3
//   layerS.N.conv1, conv2, conv3            convT_M_1x1_reduce, convT_M_3x3, convT_M_1x1_increase,
//   layerS.0.downsample.0                   convT_1_1x1_proj                  T = S + 1, M = N + 1
//   ppm.features.{0,1,2,3}.1                conv5_3_pool{1,2,3,6}_conv
//   cls.0, cls.4                            conv5_4, conv6
// and a norm as the convolution before it, with /bn behind.
std::string place_in_caffe(std::string_view place) {
  std::vector<std::string> parts{""};
  for (const char c : place)
    if (c == '.')
      parts.emplace_back();
    else
      parts.back() += c;
  const auto part = [&](std::size_t i) { return i < parts.size() ? std::string_view(parts[i]) : ""; };
  const auto number = [&](std::size_t i) { return part(i).empty() ? 0 : part(i)[0] - '0'; };
  constexpr std::string_view norm = "/bn";
  if (part(0) == "layer0") {
    constexpr std::array<std::string_view, 3> stem{"conv1_1_3x3_s2", "conv1_2_3x3", "conv1_3_3x3"};
    const auto i = static_cast<std::size_t>(std::clamp(number(1), 0, 8));
    return str_cat(stem[i / 3], i % 3 == 1 ? norm : "");
  }
  if (part(0).starts_with("layer") && parts.size() >= 3) {
    const std::string block = str_cat("conv", part(0).back() - '0' + 1, '_', number_in(parts[1]) + 1);
    if (part(2) == "downsample") return str_cat(block, "_1x1_proj", part(3) == "1" ? norm : "");
    constexpr std::array<std::string_view, 3> convolutions{"_1x1_reduce", "_3x3", "_1x1_increase"};
    const auto i = static_cast<std::size_t>(std::clamp(part(2).back() - '1', 0, 2));
    return str_cat(block, convolutions[i], part(2).starts_with("bn") ? norm : "");
  }
  if (part(0) == "ppm" && parts.size() == 4) {
    constexpr std::array<int, 4> bins{1, 2, 3, 6};
    return str_cat("conv5_3_pool", bins[static_cast<std::size_t>(std::clamp(number(2), 0, 3))], "_conv",
                   part(3) == "2" ? norm : "");
  }
  if (part(0) == "cls") return part(1) == "4" ? "conv6" : str_cat("conv5_4", part(1) == "1" ? norm : "");
  return std::string(place);
}

Resnet resnet_in_caffe(const StateDict& state) {
  Resnet net;
  for (std::size_t i = 0; i < net.blocks.size(); ++i)
    while (state.has(str_cat("conv", i + 2, '_', net.blocks[i] + 1, "_1x1_reduce"))) ++net.blocks[i];
  return net;
}

Evidence recognise(const StateDict& state) {
  if (const StateTensor* first = state.find("conv1_1_3x3_s2.weight")) {
    Evidence evidence = look_for(state, {"conv1_1_3x3_s2", "conv5_3_pool1_conv", "conv6"});
    if (evidence.complete())
      evidence.variant =
          str_cat(caffe_prefix, name_of(resnet_in_caffe(state), first->shape.empty() ? 0 : first->shape[0]));
    return evidence;
  }
  Evidence evidence = look_for(state, {"layer0.0", "ppm.features", "cls.4"});
  if (evidence.complete()) evidence.variant = str_cat(prefix, resnet_name(state, "", "layer0.0.weight"));
  return evidence;
}

bool is_caffe(std::string_view variant) { return variant.starts_with(caffe_prefix); }

std::string_view resnet_name_in(std::string_view variant) {
  return variant.substr((is_caffe(variant) ? caffe_prefix : prefix).size());
}

bool is_variant(std::string_view name) {
  if (!name.starts_with(prefix) && !is_caffe(name)) return false;
  const auto net = resnet_by_name(resnet_name_in(name));
  return net && net->bottlenecks;
}

// Zhao et al. 2017, "Pyramid Scene Parsing Network", section 3.2: means over grids of 1, 2, 3 and 6 cells a
// side, each reduced to a quarter of the channels and grown to the map's size, beside the map. Keys
// features.0..3, of which 0 is the pool, 1 the convolution, 2 the norm. `finest_first`: the order in which
// Caffe's model concatenates the grown grids behind the map.
Var pyramid(Module m, Var x, const std::vector<std::int64_t>& bins, bool finest_first) {
  const Resize grow{.mode = ResizeMode::bilinear, .align_corners = true};
  const std::int64_t reduced = x.channels() / static_cast<std::int64_t>(bins.size());
  std::vector<Var> parts{x};
  for (std::size_t i = 0; i < bins.size(); ++i) {
    const Module level = m["features"][static_cast<int>(i)];
    Var cells = adaptive_avg_pool2d(level[0].path(), x, {.out_h = bins[i], .out_w = bins[i]});
    cells = conv_norm_relu({level[1], level[2]}, cells, {.out = reduced});
    parts.push_back(resize_like(level.path() + ".resize", cells, x, grow));
  }
  if (finest_first) std::reverse(parts.begin() + 1, parts.end());
  return concat(m.path() + ".concat", parts);
}

// Unlike torchvision's dilated stages, the first block of a stage has the stage's own dilation.
constexpr Spacings spacings{
    Spacing{}, {.stride = 2}, {.first_dilation = 2, .dilation = 2}, {.first_dilation = 4, .dilation = 4}};

Network build(Module m, std::string_view variant, Hyper& hyper) {
  const bool caffe = is_caffe(variant);
  Resnet net;
  if (caffe) {
    m.builder().place_in_file = place_in_caffe;
    net =
        m.builder().published ? *resnet_by_name(resnet_name_in(variant)) : resnet_in_caffe(m.builder().state);
  } else {
    net = resnet_in(m, resnet_name_in(variant));
  }
  const Var picture = graph_input(m.builder(), 3);
  const Module stem = m["layer0"];
  const ResnetFeatures features = resnet_behind(m, deep_stem(stem, stem[7], picture), net, spacings);
  Var x = pyramid(m["ppm"], features.layers[3], hyper.integers("bins", {1, 2, 3, 6}), caffe);
  const Module cls = m["cls"];
  x = conv_norm_relu({cls[0], cls[1]}, x, {.out = m.channels(512), .kernel = 3});
  x = conv2d(cls[4], x, {.out = m.classes(torchvision_classes), .bias = true});
  output("out", x);
  // The Caffe models come without the auxiliary head.
  if (m.builder().aux && !caffe) output("aux", fcn_head(m["aux"], features.layers[2]));
  // zoom_factor: upstream's network grows its logits to the picture's size, 8, or leaves that to the program
  // around it, 1, or grows them part of the way. Corner on corner that is the same. Here they leave at an
  // eighth, whichever it is.
  hyper.integer("zoom", 8, {8, 4, 2, 1});

  Network network;
  network.classes = x.channels();
  if (caffe) {
    network.preparation = caffe_preparation;
    network.preparation.mean = {103.939f, 116.779f, 123.68f};
  }
  network.preparation.resize = {.kind = ResizeRule::Kind::none};
  network.padding = {.multiple = 8, .beyond = 1};  // upstream asserts sizes of 8k + 1
  network.answer.align_corners = true;
  return network;
}

}  // namespace

extern const Family pspnet_semseg;
constinit const Family pspnet_semseg{
    .name = "pspnet-semseg",
    .title = "PSPNet",
    .source = "Zhao et al. 2017, \"Pyramid Scene Parsing Network\"; hszhao/semseg",
    .variants = variants,
    .is_variant = is_variant,
    .published = published,
    .auxiliary = "aux",
    .stems = stems,
    .head = "ppm.features.",
    .recognise = recognise,
    .build = build};

}  // namespace atrous::networks
