#include "layers/networks/backbones/mobilenet_v3.h"

#include <algorithm>
#include <span>

#include "layers/base/error.h"

namespace atrous {

namespace {

constexpr double eps = 1e-3;

Var conv_norm(Module m, Var x, const ConvOptions& options = {}) {
  return batch_norm(m[1], conv2d(m[0], x, options), eps);
}

// torchvision's _make_divisible: a multiple of 8, and not less than nine tenths.
std::int64_t divisible_by_8(double channels) {
  const std::int64_t rounded = std::max<std::int64_t>(8, static_cast<std::int64_t>(channels + 4) / 8 * 8);
  return static_cast<double>(rounded) < 0.9 * channels ? rounded + 8 : rounded;
}

// Channels as published, or as a network of another width multiplier has them.
std::int64_t channels(const Module& m, std::int64_t published) {
  const auto& shapes = m.builder().published;
  return shapes ? divisible_by_8(static_cast<double>(published) * static_cast<double>(shapes->width) / 64)
                : published;
}

// The modules of a block: [expand], depthwise, [squeeze-excitation], project.
struct Layout {
  bool expands, excites;
  int depthwise, project;
};

Layout layout_of(Module block, std::int64_t in, const InvertedResidual& config) {
  if (block.builder().published) {
    const bool expands = channels(block, config.expanded) != in;
    return {expands, config.excites, expands ? 1 : 0, 1 + expands + config.excites};
  }
  int modules = 2;
  while (block.has(std::to_string(modules))) ++modules;
  const Module before_project = block[modules - 2];
  const bool excites = before_project.has("fc1") || before_project.has("fc2");
  return {modules - excites > 2, excites, modules - 2 - excites, modules - 1};
}

// Kernels are odd, so that a map keeps its centre; another size is left to be reported.
std::int64_t kernel_of(Module conv, const InvertedResidual& config) {
  if (conv.builder().published) return config.kernel;
  const std::int64_t size = conv.size("weight", 2, 3);
  return size % 2 == 1 ? size : 3;
}

}  // namespace

Var squeeze_excitation(Module m, Var x) {
  const std::int64_t squeezed = divisible_by_8(static_cast<double>(x.channels() / 4));
  Var gate = adaptive_avg_pool2d(m["avgpool"].path(), x, {.out_h = 1, .out_w = 1});
  gate = relu(conv2d(m["fc1"], gate, {.out = squeezed, .bias = true}));
  gate = activation(conv2d(m["fc2"], gate, {.out = x.channels(), .bias = true}), ActivationKind::hardsigmoid);
  return mul(x, gate);
}

Var inverted_residual(Module m, Var x, const InvertedResidual& config, bool dilated) {
  const Module block = m["block"];
  const Layout at = layout_of(block, x.channels(), config);
  const std::int64_t dilation = dilated && config.last_stage ? 2 : 1;
  Var out = x;
  if (at.expands)
    out = activation(conv_norm(block[0], out, {.out = channels(m, config.expanded)}), config.activation);
  const Module depthwise = block[at.depthwise];
  out = activation(conv_norm(depthwise, out,
                             {.out = out.channels(),
                              .kernel = kernel_of(depthwise[0], config),
                              .stride = dilation > 1 ? 1 : config.stride,
                              .dilation = dilation,
                              .depthwise = true}),
                   config.activation);
  if (at.excites) out = squeeze_excitation(block[at.project - 1], out);
  out = conv_norm(block[at.project], out, {.out = channels(m, config.out)});
  return config.stride == 1 && out.channels() == x.channels() ? add(out, x) : out;
}

namespace {

constexpr auto relus = ActivationKind::relu, swish = ActivationKind::hardswish;

// torchvision's _mobilenet_v3_conf; the first block is feature 1.
constexpr InvertedResidual large[] = {
    {3, 16, 16, false, 1, relus, false},  {3, 64, 24, false, 2, relus, false},
    {3, 72, 24, false, 1, relus, false},  {5, 72, 40, true, 2, relus, false},
    {5, 120, 40, true, 1, relus, false},  {5, 120, 40, true, 1, relus, false},
    {3, 240, 80, false, 2, swish, false}, {3, 200, 80, false, 1, swish, false},
    {3, 184, 80, false, 1, swish, false}, {3, 184, 80, false, 1, swish, false},
    {3, 480, 112, true, 1, swish, false}, {3, 672, 112, true, 1, swish, false},
    {5, 672, 160, true, 2, swish, true},  {5, 960, 160, true, 1, swish, true},
    {5, 960, 160, true, 1, swish, true}};
constexpr InvertedResidual small[] = {
    {3, 16, 16, true, 2, relus, false},  {3, 72, 24, false, 2, relus, false},
    {3, 88, 24, false, 1, relus, false}, {5, 96, 40, true, 2, swish, false},
    {5, 240, 40, true, 1, swish, false}, {5, 240, 40, true, 1, swish, false},
    {5, 120, 48, true, 1, swish, false}, {5, 144, 48, true, 1, swish, false},
    {5, 288, 96, true, 2, swish, true},  {5, 576, 96, true, 1, swish, true},
    {5, 576, 96, true, 1, swish, true}};

std::span<const InvertedResidual> blocks_of(MobilenetV3 net) {
  return net == MobilenetV3::large ? std::span<const InvertedResidual>(large)
                                   : std::span<const InvertedResidual>(small);
}

constexpr std::int64_t first_channels = 16;

std::int64_t size_of_first(const StateDict& state, const std::string& key) {
  const StateTensor* tensor = state.find(key);
  return tensor && !tensor->shape.empty() ? tensor->shape[0] : 0;
}

std::string_view plain_name(MobilenetV3 net) {
  return net == MobilenetV3::large ? "mobilenet_v3_large" : "mobilenet_v3_small";
}

}  // namespace

MobilenetV3 mobilenet_v3_of(const StateDict& state, const std::string& module) {
  for (int feature = 13; feature <= 16; ++feature)
    if (state.has(str_cat(module, '.', feature))) return MobilenetV3::large;
  return MobilenetV3::small;
}

std::string mobilenet_v3_name(const StateDict& state, const std::string& module) {
  const MobilenetV3 net = mobilenet_v3_of(state, module);
  const auto blocks = blocks_of(net);
  const std::int64_t first = size_of_first(state, module + ".0.0.weight"),
                     last = size_of_first(state, str_cat(module, '.', blocks.size() + 1, ".0.weight"));
  if (first == first_channels && last == 6 * blocks.back().out) return std::string(plain_name(net));
  return str_cat(plain_name(net), "(", first, ",", last, ")");
}

std::optional<MobilenetV3> mobilenet_v3_by_name(std::string_view name) {
  for (const MobilenetV3 net : {MobilenetV3::large, MobilenetV3::small}) {
    const std::string_view plain = plain_name(net);
    if (name == plain || (name.starts_with(plain) && name[plain.size()] == '(')) return net;
  }
  return std::nullopt;
}

MobilenetFeatures mobilenet_v3(Module m, Var x, MobilenetV3 net, bool dilated) {
  MobilenetFeatures features{};
  x = activation(conv_norm(m[0], x, {.out = channels(m, first_channels), .kernel = 3, .stride = 2}), swish);
  features.all.push_back(x);
  std::int64_t output_stride = 2;
  for (const InvertedResidual& config : blocks_of(net)) {
    x = inverted_residual(m[static_cast<int>(features.all.size())], x, config, dilated);
    if (output_stride < 8 && (output_stride *= config.stride) == 8) features.low = features.all.size();
    features.all.push_back(x);
  }
  x = activation(conv_norm(m[static_cast<int>(features.all.size())], x, {.out = 6 * x.channels()}), swish);
  features.all.push_back(x);
  return features;
}

}  // namespace atrous
