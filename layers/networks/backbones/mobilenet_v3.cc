#include "layers/networks/backbones/mobilenet_v3.h"

#include <span>

#include "layers/base/error.h"

namespace atrous {

namespace {

constexpr double eps = 1e-3;

Var conv_norm(Module m, Var x, const ConvOptions& options = {}) {
  return batch_norm(m[1], conv2d(m[0], x, options), eps);
}

// The modules of a block: [expand], depthwise, [squeeze-excitation], project.
struct Layout {
  bool expands, excites;
  int depthwise, project;
};

Layout layout_of(Module block) {
  int modules = 2;
  while (block.has(std::to_string(modules))) ++modules;
  const Module before_project = block[modules - 2];
  const bool excites = before_project.has("fc1") || before_project.has("fc2");
  return {modules - excites > 2, excites, modules - 2 - excites, modules - 1};
}

// Kernels are odd, so that a map keeps its centre; another size is left to be reported.
std::int64_t kernel_of(Module conv) {
  const std::int64_t size = conv.size("weight", 2, 3);
  return size % 2 == 1 ? size : 3;
}

}  // namespace

Var squeeze_excitation(Module m, Var x) {
  Var gate = adaptive_avg_pool2d(m["avgpool"].path(), x, {.out_h = 1, .out_w = 1});
  gate = relu(conv2d(m["fc1"], gate, {.bias = true}));
  gate = activation(conv2d(m["fc2"], gate, {.bias = true}), ActivationKind::hardsigmoid);
  return mul(x, gate);
}

Var inverted_residual(Module m, Var x, const InvertedResidual& config) {
  const Module block = m["block"];
  const Layout at = layout_of(block);
  Var out = x;
  if (at.expands) out = activation(conv_norm(block[0], out), config.activation);
  const Module depthwise = block[at.depthwise];
  out = activation(conv_norm(depthwise, out,
                             {.kernel = kernel_of(depthwise[0]),
                              .stride = config.dilation > 1 ? 1 : config.stride,
                              .dilation = config.dilation,
                              .depthwise = true}),
                   config.activation);
  if (at.excites) out = squeeze_excitation(block[at.project - 1], out);
  out = conv_norm(block[at.project], out);
  return config.stride == 1 && out.channels() == x.channels() ? add(out, x) : out;
}

namespace {

constexpr auto relus = ActivationKind::relu, swish = ActivationKind::hardswish;

// _mobilenet_v3_conf's columns stride, dilation and activation; the first block is feature 1.
constexpr InvertedResidual large[] = {{1, 1, relus}, {2, 1, relus}, {1, 1, relus}, {2, 1, relus},
                                      {1, 1, relus}, {1, 1, relus}, {2, 1, swish}, {1, 1, swish},
                                      {1, 1, swish}, {1, 1, swish}, {1, 1, swish}, {1, 1, swish},
                                      {2, 2, swish}, {1, 2, swish}, {1, 2, swish}};
constexpr InvertedResidual small[] = {{2, 1, relus}, {2, 1, relus}, {1, 1, relus}, {2, 1, swish},
                                      {1, 1, swish}, {1, 1, swish}, {1, 1, swish}, {1, 1, swish},
                                      {2, 2, swish}, {1, 2, swish}, {1, 2, swish}};

struct Variant {
  const char* name;
  std::span<const InvertedResidual> blocks;
  std::int64_t first_channels, last_channels;  // as published
};

// Small ends with feature 12.
Variant variant_of(Module m) {
  for (int feature = 13; feature <= 16; ++feature)
    if (m.has(std::to_string(feature))) return {"mobilenet_v3_large", large, 16, 960};
  return {"mobilenet_v3_small", small, 16, 576};
}

}  // namespace

MobilenetFeatures mobilenet_v3(Module m, Var x) {
  x = activation(conv_norm(m[0], x, {.kernel = 3, .stride = 2}), swish);
  std::int64_t output_stride = 2;
  Var low = x;
  int feature = 1;
  for (const InvertedResidual& config : variant_of(m).blocks) {
    x = inverted_residual(m[feature++], x, config);
    if (config.stride == 1 || config.dilation > 1) continue;
    output_stride *= config.stride;
    if (output_stride == 8) low = x;
  }
  x = activation(conv_norm(m[feature], x), swish);
  return {low, x, output_stride};
}

std::string mobilenet_name(Module m) {
  const Variant variant = variant_of(m);
  const Module last = m[static_cast<int>(variant.blocks.size()) + 1];
  const std::int64_t first_channels = m[0][0].size("weight", 0, 0),
                     last_channels = last[0].size("weight", 0, 0);
  if (first_channels == variant.first_channels && last_channels == variant.last_channels) return variant.name;
  return text(variant.name, "(", first_channels, ",", last_channels, ")");
}

}  // namespace atrous
