#include "layers/networks/smp.h"

#include <algorithm>
#include <charconv>

#include "layers/base/error.h"
#include "layers/networks/backbones/mobilenet_v2.h"
#include "layers/networks/backbones/resnet.h"

namespace atrous::networks {

namespace {

constexpr std::string_view mobilenet = "mobilenet_v2", resnet_word = "resnet";

// "r34" for "resnet34"; other names as they are.
std::string short_name(const std::string& encoder) {
  return encoder.starts_with(resnet_word) && !encoder.ends_with(')')
             ? "r" + encoder.substr(resnet_word.size())
             : encoder;
}

// Whether a state dict has anything of an encoder's map.
std::string first_module(bool is_mobilenet, int level) {
  constexpr int first_features[] = {0, 0, 2, 4, 7, 14};
  if (is_mobilenet) return str_cat("features.", first_features[level]);
  return level == 1 ? "conv1" : str_cat("layer", level - 1);
}

// A ResNet in a state dict, whose last stages may be absent: then those of the published depth that the
// others are of.
std::string resnet_encoder(const StateDict& state) {
  const StateTensor* stem = state.find("encoder.conv1.weight");
  const std::int64_t width = stem && !stem->shape.empty() ? stem->shape[0] : 0;
  Resnet net = resnet_of(state, "encoder");
  for (const std::string_view name : {"resnet18", "resnet34", "resnet50", "resnet101", "resnet152"}) {
    const Resnet published = *resnet_by_name(name);
    const auto fits = [&](std::size_t i) {
      return !state.has(str_cat("encoder.layer", i + 1)) || net.blocks[i] == published.blocks[i];
    };
    if (net.bottlenecks == published.bottlenecks && fits(0) && fits(1) && fits(2) && fits(3)) {
      net.blocks = published.blocks;
      break;
    }
  }
  return name_of(net, width);
}

}  // namespace

bool SmpVariant::has(std::string_view option) const {
  return std::ranges::find(options, option) != options.end();
}

std::int64_t SmpVariant::number(std::string_view option, std::int64_t otherwise) const {
  for (const std::string_view given : options)
    if (given.starts_with(option))
      std::from_chars(given.data() + option.size(), given.data() + given.size(), otherwise);
  return otherwise;
}

SmpVariant smp_variant(std::string_view prefix, std::string_view variant) {
  std::string_view rest = variant.substr(prefix.size());
  const std::size_t length = rest.starts_with(mobilenet)   ? mobilenet.size()
                             : rest.find(')') != rest.npos ? rest.find(')') + 1
                                                           : std::min(rest.find('_'), rest.size());
  const std::string_view encoder = rest.substr(0, length);
  SmpVariant out{.encoder = encoder.starts_with('r') && !encoder.starts_with(resnet_word)
                                ? str_cat(resnet_word, encoder.substr(1))
                                : std::string(encoder),
                 .options = {}};
  rest.remove_prefix(length);
  while (!rest.empty()) {
    rest.remove_prefix(1);
    std::size_t end = rest.find('_');
    if (rest.starts_with("22classes_")) end = rest.find('_', end + 1);
    out.options.push_back(rest.substr(0, end));
    rest.remove_prefix(std::min(end, rest.size()));
  }
  return out;
}

bool is_smp_variant(std::string_view prefix, std::string_view variant,
                    std::span<const std::string_view> options) {
  if (!variant.starts_with(prefix)) return false;
  const SmpVariant is = smp_variant(prefix, variant);
  if (is.encoder != mobilenet && !resnet_by_name(is.encoder)) return false;
  if (std::ranges::count_if(is.options, [](std::string_view o) { return o.starts_with("depth"); }) > 1)
    return false;
  std::string name = str_cat(prefix, short_name(is.encoder));
  for (const std::string_view option : options)
    if (is.has(option)) name += str_cat('_', option);
  return name == variant;
}

Evidence look_for_smp(const StateDict& state, std::string_view prefix,
                      std::initializer_list<std::string_view> decoder) {
  const bool is_mobilenet = state.has("encoder.features.1.conv");
  Evidence evidence = is_mobilenet
                          ? look_for(state, {"encoder.features.0.0", "segmentation_head.0"})
                          : look_for(state, {"encoder.conv1", "encoder.layer1", "segmentation_head.0"});
  const Evidence rest = look_for(state, decoder);
  evidence.found.insert(evidence.found.end(), rest.found.begin(), rest.found.end());
  evidence.missing.insert(evidence.missing.end(), rest.missing.begin(), rest.missing.end());
  if (evidence.complete())
    evidence.variant =
        str_cat(prefix, is_mobilenet ? std::string(mobilenet) : short_name(resnet_encoder(state)));
  return evidence;
}

void add_option(Evidence& evidence, std::string_view option, bool is_so) {
  if (evidence.complete() && is_so) evidence.variant += str_cat('_', option);
}

void add_depth(Evidence& evidence, int depth) {
  add_option(evidence, "depth3", depth == 3);
  add_option(evidence, "depth4", depth == 4);
}

int count_modules(const StateDict& state, std::string_view module) {
  int count = 0;
  while (state.has(str_cat(module, '.', count))) ++count;
  return count;
}

int smp_depth_of(const StateDict& state, std::string_view convolution, int otherwise) {
  const auto channels = [&](std::string_view key, std::size_t dimension) -> std::int64_t {
    const StateTensor* tensor = state.find(key);
    return tensor && dimension < tensor->shape.size() ? tensor->shape[dimension] : 0;
  };
  const std::int64_t taken = channels(str_cat(convolution, ".weight"), 1);
  // The last convolution of a stage's first block, of bottlenecks, basic blocks and inverted residuals.
  constexpr std::string_view last[][3] = {
      {"encoder.layer2.0.conv3.weight", "encoder.layer2.0.conv2.weight", "encoder.features.6.conv.2.weight"},
      {"encoder.layer3.0.conv3.weight", "encoder.layer3.0.conv2.weight", "encoder.features.13.conv.2.weight"},
      {"encoder.layer4.0.conv3.weight", "encoder.layer4.0.conv2.weight", "encoder.features.18.0.weight"}};
  int depth = 3;
  for (const auto& keys : last) {
    for (const std::string_view key : keys)
      if (const std::int64_t given = channels(key, 0); given > 0) {
        if (given == taken) return depth;
        break;
      }
    ++depth;
  }
  return otherwise;
}

std::vector<Var> smp_encoder(Module m, Var x, std::string_view name, int depth, std::int64_t output_stride) {
  const bool is_mobilenet = m.has("features", name == mobilenet);
  const Resnet net = is_mobilenet ? Resnet{} : resnet_in(m, name);
  constexpr int after[] = {0, 2, 4, 7, 14, mobilenet_v2_features};  // the feature behind each map's
  const auto map_of = [&](int level, Var in) {
    const std::int64_t dilation = std::max<std::int64_t>(1, (std::int64_t{1} << level) / output_stride);
    if (is_mobilenet) {
      for (int number = after[level - 1]; number < after[level]; ++number)
        in = mobilenet_v2_feature(m["features"], number, in, dilation);
      return in;
    }
    if (level == 1)
      return relu(
          batch_norm(m["bn1"], conv2d(m["conv1"], in, {.out = m.channels(64), .kernel = 7, .stride = 2})));
    if (level == 2) in = max_pool2d(m["maxpool"].path(), in, {.kernel = 3, .stride = 2, .padding = 1});
    const std::int64_t stride = level == 2 || dilation > 1 ? 1 : 2;
    return resnet_stage(m[str_cat("layer", level - 1)], in, net.bottlenecks,
                        net.blocks[static_cast<std::size_t>(level - 2)],
                        m.channels(std::int64_t{64} << (level - 2)),
                        {.stride = stride, .first_dilation = dilation, .dilation = dilation});
  };
  std::vector<Var> maps{x};
  for (int level = 1; level <= depth; ++level) maps.push_back(map_of(level, maps.back()));
  read_unused(m.builder(), [&] {
    Var rest = maps.back();
    for (int level = depth + 1; level <= smp_depth; ++level)
      if (m.has(first_module(is_mobilenet, level), true)) rest = map_of(level, rest);
  });
  return maps;
}

Var smp_conv(Module m, Var x, ConvOptions options, bool norm) {
  const bool has_norm = m.has("1", norm);
  options.bias = !has_norm;
  x = conv2d(m[0], x, options);
  return relu(has_norm ? batch_norm(m[1], x) : x);
}

Resize smp_doubling(Hyper& hyper, std::string_view assumed, bool align_corners) {
  const bool bilinear = hyper.word("interpolation", assumed, {"nearest", "bilinear"}) == "bilinear";
  return {.mode = bilinear ? ResizeMode::bilinear : ResizeMode::nearest,
          .align_corners = bilinear && align_corners};
}

Var smp_gate(Module m, Var x, std::int64_t squeezed) {
  const std::int64_t channels = x.channels();
  x = adaptive_avg_pool2d(m[0].path(), x, {.out_h = 1, .out_w = 1});
  x = relu(conv2d(m[1], x, {.out = squeezed, .bias = true}));
  return activation(conv2d(m[3], x, {.out = channels, .bias = true}), ActivationKind::sigmoid);
}

namespace {

// x * cSE(x) + x * sSE(x), a gate a channel and a gate a pixel.
Var scse(Module m, Var x) {
  const Module attention = m["attention"];
  const Var of_channels = smp_gate(attention["cSE"], x, std::max<std::int64_t>(1, x.channels() / 16));
  const Var of_pixels =
      activation(conv2d(attention["sSE"][0], x, {.out = 1, .bias = true}), ActivationKind::sigmoid);
  return add(mul(x, of_channels), mul(x, of_pixels));
}

}  // namespace

Var smp_block(Module m, Var x, std::vector<Var> skips, std::int64_t out, const SmpDecoder& decoder) {
  const bool attends = m.has("attention1", decoder.scse);
  x = resize_by(m.path() + ".resize", x, 2, decoder.doubling);
  if (skips.empty()) {
    if (attends) read_unused(m.builder(), [&] { scse(m["attention1"], x); });
  } else {
    skips.insert(skips.begin(), x);
    x = concat(m.path() + ".concat", skips);
    if (attends) x = scse(m["attention1"], x);
  }
  x = smp_conv(m["conv1"], x, {.out = out, .kernel = 3}, decoder.norm);
  x = smp_conv(m["conv2"], x, {.out = out, .kernel = 3}, decoder.norm);
  return attends ? scse(m["attention2"], x) : x;
}

std::int64_t smp_block_channels(int index, int count) { return std::int64_t{16} << (count - 1 - index); }

Network smp_finish(Module m, Var x, Var deepest, const SmpHead& head, Hyper& hyper) {
  Var logits = conv2d(m["segmentation_head"][0], x,
                      {.out = m.classes(head.classes), .kernel = head.kernel, .bias = true});
  if (m.has("classification_head"))
    read_unused(m.builder(),
                [&] { linear(m["classification_head"][3], adaptive_avg_pool2d("", deepest, {}), {}); });
  Network network;
  network.classes = logits.channels();
  network.output_stride = head.stride;
  network.padding = head.padding;
  network.preparation.resize = {.kind = ResizeRule::Kind::none};
  if (head.stride > 1 || head.has_upsampling) {
    const std::int64_t growth = hyper.integer("upsampling", head.stride, {1, 2, 4, 8, 16});
    network.answer.align_corners = growth > 1 && growth >= head.stride;
    if (growth > 1 && growth < head.stride) {
      logits = resize_by("segmentation_head.1", logits, static_cast<double>(growth), smp_bilinear);
      network.output_stride = head.stride / growth;
    }
  }
  output("out", logits);
  return network;
}

}  // namespace atrous::networks
