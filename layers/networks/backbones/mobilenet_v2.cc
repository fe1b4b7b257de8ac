#include "layers/networks/backbones/mobilenet_v2.h"

#include <string>

namespace atrous {

namespace {

Var relu6(Var x) { return activation(x, ActivationKind::relu6); }

// The modules of a block: convolutions, each with the batch norm behind it.
struct Layout {
  Module expand, expand_norm, depthwise, depthwise_norm, project, project_norm;
};

Layout layout_of(Module conv, MobilenetV2 publisher, bool expands) {
  if (publisher != MobilenetV2::jfzhang) {
    const Module depthwise = conv[expands ? 1 : 0];
    const int project = expands ? 2 : 1;
    return {conv["0.0"], conv["0.1"], depthwise[0], depthwise[1], conv[project], conv[project + 1]};
  }
  const int depthwise = expands ? 3 : 0;
  return {conv[0], conv[1], conv[depthwise], conv[depthwise + 1], conv[depthwise + 3], conv[depthwise + 4]};
}

struct InvertedResidual {
  std::int64_t expansion, out, stride, dilation;
};

Var inverted_residual(Module m, Var x, MobilenetV2 publisher, const InvertedResidual& config) {
  const Module conv = m["conv"];
  const bool expands = conv.has(publisher == MobilenetV2::jfzhang ? "6" : "3", config.expansion != 1);
  const Layout at = layout_of(conv, publisher, expands);
  const bool padded_early = expands && publisher != MobilenetV2::torchvision;
  Var out = x;
  if (expands)
    out = relu6(batch_norm(at.expand_norm, conv2d(at.expand, x,
                                                  {.out = config.expansion * x.channels(),
                                                   .padding = padded_early ? config.dilation : 0})));
  out = relu6(batch_norm(at.depthwise_norm, conv2d(at.depthwise, out,
                                                   {.out = out.channels(),
                                                    .kernel = 3,
                                                    .stride = config.stride,
                                                    .padding = padded_early ? 0 : config.dilation,
                                                    .dilation = config.dilation,
                                                    .depthwise = true})));
  out = batch_norm(at.project_norm, conv2d(at.project, out, {.out = config.out}));
  return config.stride == 1 && out.channels() == x.channels() ? add(out, x) : out;
}

// Table 2 of the paper.
struct Stage {
  std::int64_t expansion, out;
  int blocks;
  std::int64_t stride;
};
constexpr Stage stages[] = {{1, 16, 1, 1}, {6, 24, 2, 2},  {6, 32, 3, 2}, {6, 64, 4, 2},
                            {6, 96, 3, 1}, {6, 160, 3, 2}, {6, 320, 1, 1}};
constexpr int low_features = 4;

}  // namespace

MobilenetV2Features mobilenet_v2(Module m, Var x, MobilenetV2 publisher, std::int64_t output_stride) {
  const auto feature = [&](int number) {
    const Module half = m[number < low_features ? "low_level_features" : "high_level_features"][number];
    return publisher == MobilenetV2::jfzhang ? Module::registered_twice(m["features"][number], half) : half;
  };
  const Module stem = feature(0);
  x = relu6(batch_norm(stem[1], conv2d(stem[0], x,
                                       {.out = m.channels(32),
                                        .kernel = 3,
                                        .stride = 2,
                                        .padding = publisher == MobilenetV2::vainf ? 0 : 1})));
  Var low = x;
  int number = 1;
  std::int64_t reached = 2, dilation = 1;  // the stride so far; what is left of it
  for (const Stage& stage : stages) {
    const bool dilated = stage.stride > 1 && reached == output_stride;
    const std::int64_t before = dilation, stride = dilated ? 1 : stage.stride;
    if (dilated)
      dilation *= stage.stride;
    else
      reached *= stage.stride;
    for (int block = 0; block < stage.blocks; ++block, ++number) {
      x = inverted_residual(
          feature(number), x, publisher,
          {.expansion = stage.expansion,
           .out = m.channels(stage.out),
           .stride = block == 0 ? stride : 1,
           .dilation = block == 0 || publisher == MobilenetV2::jfzhang ? before : dilation});
      if (number == low_features - 1) low = x;
    }
  }
  return {low, x};
}

Var mobilenet_v2_feature(Module features, int number, Var x, std::int64_t dilation) {
  const Module m = features[number];
  const auto conv_norm = [&](const ConvOptions& options) {
    return relu6(batch_norm(m[1], conv2d(m[0], x, options)));
  };
  if (number == 0) return conv_norm({.out = m.channels(32), .kernel = 3, .stride = 2});
  int last = 0;
  for (const Stage& stage : stages) {
    const int first = last + 1;
    last += stage.blocks;
    if (number <= last)
      return inverted_residual(m, x, MobilenetV2::torchvision,
                               {.expansion = stage.expansion,
                                .out = m.channels(stage.out),
                                .stride = number == first && dilation == 1 ? stage.stride : 1,
                                .dilation = dilation});
  }
  return conv_norm({.out = m.channels(1280)});
}

}  // namespace atrous
