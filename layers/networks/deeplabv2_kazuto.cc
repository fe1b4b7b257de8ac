// DeepLabV2, as kazuto1011's deeplab-pytorch builds it after the authors' Caffe models, and those: dilated
// classifiers side by side on a dilated ResNet, and the largest of several scales.
// libs/models/{deeplabv2,msc,resnet}.py.
#include <array>

#include "layers/base/ascii.h"
#include "layers/base/error.h"
#include "layers/networks/backbones/resnet.h"
#include "layers/networks/family.h"

namespace atrous::networks {

namespace {

constexpr std::string_view prefix = "deeplabv2-kazuto-", msc = "-msc";
constexpr std::string_view caffe = "deeplabv2-caffe-resnet101-msc";
constexpr std::string_view variants[] = {"deeplabv2-kazuto-resnet101-msc", "deeplabv2-kazuto-resnet101",
                                         caffe};

// The wrapper MSC holds the network as `base`, in very old files as `scale`; the network alone has no prefix.
constexpr std::string_view wrappers[] = {"base", "scale"};
constexpr std::string_view stems[] = {"base.layer1.conv1.conv.weight", "scale.layer1.conv1.conv.weight",
                                      "layer1.conv1.conv.weight", "res2a_branch2a.weight"};

constexpr PublishedCheckpoint published[] = {
    {"deeplabv2-kazuto-resnet101-msc", "deeplabv2_resnet101_msc-vocaug-20000.pth",
     "https://github.com/kazuto1011/deeplab-pytorch/releases/download/v1.0/", 169, 76.7, "VOC 2012 val"},
    {caffe, "train2_iter_20000.caffemodel", by_hand, 169, 76.4, "VOC 2012 val"}};

// The front of the Caffe model's classifiers, "fc1_voc12" of fc1_voc12_c0.weight, which names their data;
// empty where there are none.
std::string classifiers_in_caffe(const StateDict& state) {
  constexpr std::string_view begin = "fc1_", end = "_c0.weight";
  for (const auto& [key, tensor] : state.entries())
    if (key.starts_with(begin) && key.ends_with(end)) return key.substr(0, key.size() - end.size());
  return "";
}

// What the Caffe model calls a place of this network's:
//   layer1.conv1.conv, .bn                            conv1, bn_conv1
//   layerS.blockN.reduce, conv3x3, increase           resSB_branch2a, 2b, 2c; norms: bnSB_branch2a, ...
//   layerS.blockN.shortcut                            resSB_branch1
//   aspp.cK                                           fc1_voc12_cK
// with B the letters a, b, c, and in the long stages 3 and 4 a, b1, b2, ...
std::string place_in_caffe(std::string_view place, std::string_view classifiers) {
  constexpr std::string_view wrapper = "base.", stem = "layer1.conv1", block = ".block", aspp = "aspp.";
  if (place.starts_with(wrapper)) place.remove_prefix(wrapper.size());
  const bool norm = place.ends_with(".bn");
  if (place.starts_with(stem)) return norm ? "bn_conv1" : "conv1";
  if (place.starts_with(aspp)) return str_cat(classifiers, '_', place.substr(aspp.size()));
  const std::size_t at = place.find(block);
  if (at == place.npos || at == 0) return std::string(place);
  const char stage = place[at - 1];
  const std::string_view rest = place.substr(at + block.size());
  const std::size_t dot = std::min(rest.find('.'), rest.size());
  const int number = number_in(rest.substr(0, dot));
  std::string letter(1, static_cast<char>('a' + std::clamp(number - 1, 0, 25)));
  if ((stage == '3' || stage == '4') && number > 1) letter = str_cat('b', number - 1);
  constexpr std::array<std::pair<std::string_view, std::string_view>, 4> branches{
      {{"reduce", "branch2a"}, {"conv3x3", "branch2b"}, {"increase", "branch2c"}, {"shortcut", "branch1"}}};
  for (const auto& [ours, theirs] : branches)
    if (rest.substr(dot).starts_with("." + std::string(ours)))
      return str_cat(norm ? "bn" : "res", stage, letter, '_', theirs);
  return std::string(place);
}

// The network stands thrice in the Caffe model, on the same weights: once for each scale.
bool is_copy_in_caffe(std::string_view key) {
  return key.find("res075") != key.npos || key.find("res05") != key.npos;
}

std::string_view wrapper_of(const StateDict& state) {
  for (const std::string_view wrapper : wrappers)
    if (state.has(wrapper)) return wrapper;
  return "";
}

// The pyramid's convolutions: aspp.c0 to c3, in very old files aspp.stages.c0 to c3.
std::string pyramid_in(const StateDict& state, std::string_view module) {
  const std::string aspp = module.empty() ? "aspp" : str_cat(module, ".aspp");
  return state.has(aspp + ".stages") ? aspp + ".stages" : aspp;
}

// layer2.block1 and so on.
Resnet blocks_of(const StateDict& state, std::string_view module) {
  Resnet net;
  for (std::size_t i = 0; i < net.blocks.size(); ++i) {
    const std::string layer = str_cat(module, module.empty() ? "" : ".", "layer", i + 2, ".block");
    net.blocks[i] = 1;
    while (state.has(str_cat(layer, net.blocks[i] + 1))) ++net.blocks[i];
  }
  return net;
}

Resnet blocks_in_caffe(const StateDict& state) {
  Resnet net;
  for (std::size_t i = 0; i < net.blocks.size(); ++i)
    while (
        state.has(place_in_caffe(str_cat("layer", i + 2, ".block", net.blocks[i] + 1, ".reduce.conv"), "")))
      ++net.blocks[i];
  return net;
}

Evidence recognise(const StateDict& state) {
  if (state.has("res2a_branch2a")) {
    const std::string classifiers = classifiers_in_caffe(state);
    // Other ResNets of Caffe have this much in common with it.
    if (classifiers.empty()) return look_for(state, {"res2a_branch2a", "fc1_voc12_c0"});
    Evidence evidence = look_for(state, {"conv1", "res2a_branch2a", "bn2a_branch2a"});
    evidence.found.push_back(classifiers + "_c0");
    if (evidence.complete()) evidence.variant = caffe;
    return evidence;
  }
  const std::string_view wrapper = wrapper_of(state);
  const std::string stem = str_cat(wrapper, wrapper.empty() ? "" : ".", "layer1.conv1.conv.weight"),
                    head = pyramid_in(state, wrapper) + ".c0.weight";
  Evidence evidence = look_for(state, {stem, head});
  if (!evidence.complete()) return evidence;
  const StateTensor& first = *state.find(stem);
  evidence.variant =
      str_cat(prefix, name_of(blocks_of(state, wrapper), first.shape.empty() ? 0 : first.shape[0]),
              wrapper.empty() ? std::string_view() : msc);
  return evidence;
}

std::string_view resnet_in(std::string_view variant) {
  if (variant == caffe) return "resnet101";
  variant.remove_prefix(prefix.size());
  if (variant.ends_with(msc)) variant.remove_suffix(msc.size());
  return variant;
}

bool is_variant(std::string_view name) {
  if (!name.starts_with(prefix)) return false;
  const auto net = resnet_by_name(resnet_in(name));
  return net && net->bottlenecks;
}

Var conv_norm(Module m, Var x, const ConvOptions& options) {
  return batch_norm(m["bn"], conv2d(m["conv"], x, options));
}

// The stride sits in the first 1x1 convolution, as in Caffe's ResNets, not in the 3x3.
Var block(Module m, Var x, bool first, std::int64_t planes, std::int64_t stride, std::int64_t dilation) {
  Var out = relu(conv_norm(m["reduce"], x, {.out = planes, .stride = stride}));
  out = relu(conv_norm(m["conv3x3"], out, {.out = planes, .kernel = 3, .dilation = dilation}));
  out = conv_norm(m["increase"], out, {.out = 4 * planes});
  const std::string_view shortcut = m.has("proj") ? "proj" : "shortcut";  // so called in very old files
  if (m.has(shortcut, first)) x = conv_norm(m[shortcut], x, {.out = 4 * planes, .stride = stride});
  return relu(add(out, x));
}

// The logits at about an eighth of the picture. The pool's sizes are rounded up.
Var base(Module m, Var x, const Resnet& net, const std::vector<std::int64_t>& rates) {
  x = relu(conv_norm(m["layer1"]["conv1"], x, {.out = m.channels(64), .kernel = 7, .stride = 2}));
  x = max_pool2d(m["layer1"]["pool"].path(), x, {.kernel = 3, .stride = 2, .padding = 1, .ceil_mode = true});
  constexpr std::array<std::int64_t, 4> strides{1, 2, 1, 1}, dilations{1, 1, 2, 4};
  for (std::size_t i = 0; i < net.blocks.size(); ++i)
    for (int k = 1; k <= net.blocks[i]; ++k)
      x = block(m[str_cat("layer", i + 2)][str_cat("block", k)], x, k == 1, m.channels(std::int64_t{64} << i),
                k == 1 ? strides[i] : 1, dilations[i]);

  // Chen et al. 2018, "DeepLab", section 3.2, ASPP-L: the classes' scores at several rates, summed.
  const Module aspp = m["aspp"].has("stages") ? m["aspp"]["stages"] : m["aspp"];
  std::optional<Var> sum;
  for (std::size_t i = 0; i < rates.size(); ++i) {
    const Var scores = conv2d(aspp[str_cat('c', i)], x,
                              {.out = m.classes(21), .kernel = 3, .dilation = rates[i], .bias = true});
    sum = sum ? add(*sum, scores) : scores;
  }
  return *sum;
}

// The same section: the network sees the picture at several scales, and the largest score of a class wins.
// `scaling`: how pixels of the scaled picture lie on the picture's, see build(); corners alike, those of the
// scores on each other.
Var multi_scale(Module m, Var picture, const Resnet& net, const std::vector<std::int64_t>& rates,
                const Resize& scaling) {
  const Var whole = base(m, picture, net, rates);
  Var largest = whole;
  for (const double factor : {0.5, 0.75}) {
    const Var smaller = resize_by(str_cat("msc.", factor), picture, factor, scaling);
    const Var scores = base(m, smaller, net, rates);
    largest = maximum(largest, resize_like(str_cat("msc.", factor, ".resize"), scores, whole,
                                           {.align_corners = scaling.align_corners}));
  }
  return largest;
}

Network build(Module m, std::string_view variant, Hyper& hyper) {
  const StateDict& state = m.builder().state;
  const bool published_shapes = m.builder().published.has_value(), scales = variant.ends_with(msc),
             is_caffe = variant == caffe;
  const std::string_view wrapper =
      published_shapes || is_caffe ? (scales ? wrappers[0] : "") : wrapper_of(state);
  const Resnet net = published_shapes ? *resnet_by_name(resnet_in(variant))
                     : is_caffe       ? blocks_in_caffe(state)
                                      : blocks_of(state, wrapper);
  if (is_caffe) {
    m.builder().place_in_file = [classifiers = published_shapes ? "fc1_voc12" : classifiers_in_caffe(state)](
                                    std::string_view place) { return place_in_caffe(place, classifiers); };
    for (std::size_t i = 0; i < state.size() && !published_shapes; ++i)
      if (is_copy_in_caffe(state.entries()[i].first)) m.builder().report.read[i] = true;
  }
  const std::vector<std::int64_t> rates = hyper.integers("rates", {6, 12, 18, 24});
  const Module in = wrapper.empty() ? m : m[wrapper];
  const Var picture = graph_input(m.builder(), 3);
  // torch before 1.6, under which the published weights were trained, scaled by the ratio of the rounded
  // sizes where it scales by the factor now. They are the same where a quarter of the sides is whole. The
  // authors' program for Caffe lays corners on corners (its layer Interp), where the port does not; the
  // port's way is assumed of either's weights.
  const std::string way =
      scales ? hyper.word("msc", "current", {"current", "legacy", "caffe"}) : std::string("none");
  const bool corners = way == "caffe";
  const Var x =
      scales ? multi_scale(in, picture, net, rates,
                           {.align_corners = corners, .ratio_of_sizes = way == "legacy", .of_steps = corners})
             : base(in, picture, net, rates);
  output("out", x);

  Network network;
  network.classes = x.channels();
  network.answer.align_corners = corners;
  network.preparation = caffe_preparation;
  network.preparation.mean = {104.008f, 116.669f, 122.675f};
  if (!is_caffe) network.answer.crf = CrfParameters{};  // config.yaml: CRF
  return network;
}

}  // namespace

extern const Family deeplabv2_kazuto;
constinit const Family deeplabv2_kazuto{.name = "deeplabv2-kazuto",
                                        .title = "DeepLabV2",
                                        .source = "Chen et al. 2018, \"DeepLab\"; kazuto1011/deeplab-pytorch",
                                        .variants = variants,
                                        .is_variant = is_variant,
                                        .published = published,
                                        .stems = stems,
                                        .recognise = recognise,
                                        .build = build};

}  // namespace atrous::networks
