// EncNet, as zhanghang1989's PyTorch-Encoding builds it: the picture's statistics gate the channels of a
// dilated ResNet's map. encoding/models/sseg/encnet.py.
#include "layers/base/error.h"
#include "layers/networks/backbones/resnet.h"
#include "layers/networks/conv_norm.h"
#include "layers/networks/torchvision.h"

namespace atrous::networks {

namespace {

constexpr std::string_view prefix = "encnet-", deep = "s", lateral_name = "-lateral";
constexpr std::string_view variants[] = {"encnet-resnet50s",         "encnet-resnet101s",
                                         "encnet-resnet50s-lateral", "encnet-resnet101s-lateral",
                                         "encnet-resnet152s",        "encnet-resnet152s-lateral"};

constexpr std::string_view stems[] = {"pretrained.conv1.0.weight", "pretrained.conv1.weight"};

constexpr std::string_view ade = "ADE20K val, several scales", context = "PASCAL-Context val, several scales";
constexpr PublishedCheckpoint published[] = {
    {"encnet-resnet50s", "encnet_resnet50s_ade-07ac287c.pth", by_hand, 138, 41.5, ade},
    {"encnet-resnet101s", "encnet_resnet101s_ade-3f54fa3b.pth", by_hand, 211, 44.4, ade},
    {"encnet-resnet50s-lateral", "encnet_resnet50s_pcontext-4de91d59.pth", by_hand, 168, 51.0, context},
    {"encnet-resnet101s-lateral", "encnet_resnet101s_pcontext-9f27ea13.pth", by_hand, 240, 54.1, context}};

// The stem of a variant whose ResNet's name ends in s is three 3x3 convolutions, of others one 7x7.
constexpr std::string_view deep_stem_key = "pretrained.conv1.0.weight";

Evidence recognise(const StateDict& state) {
  Evidence evidence = look_for(
      state, {"pretrained.conv1", "pretrained.layer4", "head.encmodule.encoding.3.codewords", "head.conv6"});
  if (!evidence.complete()) return evidence;
  const bool is_deep = state.find(deep_stem_key) != nullptr;
  evidence.variant =
      str_cat(prefix, resnet_name(state, "pretrained", is_deep ? deep_stem_key : "pretrained.conv1.weight"),
              is_deep ? deep : "", state.has("head.connect") ? lateral_name : "");
  return evidence;
}

struct Variant {
  std::string_view resnet;
  bool deep_stem = false, lateral = false;
};

Variant parse(std::string_view name) {
  Variant variant;
  name.remove_prefix(prefix.size());
  variant.lateral = name.ends_with(lateral_name);
  if (variant.lateral) name.remove_suffix(lateral_name.size());
  variant.deep_stem = name.ends_with(deep);
  if (variant.deep_stem) name.remove_suffix(deep.size());
  variant.resnet = name;
  return variant;
}

bool is_variant(std::string_view name) {
  if (!name.starts_with(prefix)) return false;
  const auto net = resnet_by_name(parse(name).resnet);
  return net && net->bottlenecks;
}

// Keys 0, the convolution, and 1, its norm.
ConvNorm conv_norm_at(Module m) { return {m[0], m[1]}; }

// conv5 of the last map; with lateral connections concatenated with those of two earlier ones, which have the
// same size, and fused.
Var reduced(Module m, const ResnetFeatures& features, bool lateral) {
  const ConvOptions narrow{.out = m.channels(512)}, wide{.out = m.channels(512), .kernel = 3};
  const Var x = conv_norm_relu(conv_norm_at(m["conv5"]), features.layers[3], wide);
  if (!lateral) return x;
  const Module connect = m["connect"];
  const Var early = conv_norm_relu(conv_norm_at(connect[0]), features.layers[1], narrow),
            middle = conv_norm_relu(conv_norm_at(connect[1]), features.layers[2], narrow);
  return conv_norm_relu(conv_norm_at(m["fusion"]), concat(m.path() + ".concat", {x, early, middle}), wide);
}

// Zhang et al. 2018, "Context Encoding for Semantic Segmentation", section 3.1 and figure 2: codewords see
// the whole map, a linear layer and a sigmoid make gates of what they found, and x is added to its gated
// self. The SE branch guesses which classes are in the picture: of use for training, or on request.
struct Encoded {
  Var x;
  std::optional<Var> presence;
};
Encoded context_encoding(Module m, Var x, std::int64_t classes) {
  const Module encoder = m["encoding"], presence = m["selayer"];
  const Var encoded =
      encoding(encoder[3], encoder[4], conv_norm_relu(conv_norm_at(encoder), x, {.out = x.channels()}), 32);
  const Var gate = activation(linear(m["fc"][0], encoded, {.out = x.channels()}), ActivationKind::sigmoid);
  Encoded out{.x = relu(add(x, mul(x, gate))), .presence = std::nullopt};
  if (m.builder().aux && m.has("selayer", true)) {
    out.presence = linear(presence, encoded, {.out = classes});
  } else if (m.has("selayer")) {  // checked, as all that is read
    presence.parameter("weight", {-1, x.channels()});
    presence.parameter("bias", {-1});
  }
  return out;
}

Network build(Module m, std::string_view name, Hyper&) {
  const Variant variant = parse(name);
  const std::int64_t classes = m.classes(variant.lateral ? 59 : 150);
  const Var picture = graph_input(m.builder(), 3);
  const Module backbone = m["pretrained"];
  const Resnet net = resnet_in(backbone, variant.resnet);
  const ResnetFeatures features =
      variant.deep_stem ? resnet_behind(backbone, deep_stem(backbone["conv1"], backbone["bn1"], picture), net,
                                        torchvision_spacings(8))
                        : resnet(backbone, picture, net, torchvision_spacings(8));
  const Module head = m["head"];
  const Encoded encoded =
      context_encoding(head["encmodule"], reduced(head, features, variant.lateral), classes);
  const Var x = conv2d(head["conv6"][1], encoded.x, {.out = classes, .bias = true});
  output("out", x);
  if (encoded.presence) output("se", *encoded.presence);
  if (m.builder().aux) output("aux", fcn_head(m["auxlayer"]["conv5"], features.layers[2], classes));

  Network network;
  network.classes = x.channels();
  network.preparation.resize = {.kind = ResizeRule::Kind::none};
  network.answer.align_corners = true;
  return network;
}

}  // namespace

extern const Family encnet;
constinit const Family encnet{
    .name = "encnet",
    .title = "EncNet",
    .source =
        "Zhang et al. 2018, \"Context Encoding for Semantic Segmentation\"; zhanghang1989/PyTorch-Encoding",
    .variants = variants,
    .is_variant = is_variant,
    .published = published,
    .auxiliary = "auxlayer",
    .stems = stems,
    .head = "head.encmodule.",
    .recognise = recognise,
    .build = build};

}  // namespace atrous::networks
