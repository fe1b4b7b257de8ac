#include "layers/networks/deeplab.h"

#include "layers/base/error.h"
#include "layers/networks/backbones/resnet.h"

namespace atrous::networks {

Var conv3x3(Module m, Var x, const ConvOptions& options, bool separable) {
  if (!m.has("body", separable)) return conv2d(m, x, options);
  const Module body = m["body"];
  ConvOptions depthwise = options;
  depthwise.out = x.channels();
  depthwise.depthwise = true;
  return conv2d(body[1], conv2d(body[0], x, depthwise), {.out = options.out});
}

namespace {

Var pooled(Module m, Var x, std::int64_t channels) {
  Var mean = adaptive_avg_pool2d(m[0].path(), x, {.out_h = 1, .out_w = 1});
  mean = conv_norm_relu({m[1], m[2]}, mean, {.out = channels});
  return resize_like(m.path() + ".resize", mean, x, {.mode = ResizeMode::bilinear, .align_corners = false});
}

}  // namespace

Var aspp(const Aspp& m, Var x, const std::vector<std::int64_t>& rates) {
  const std::int64_t channels = m.place.channels(aspp_channels);
  const auto atrous = [&](std::size_t i) {
    const ConvNorm& branch = m.branches[i];
    return relu(batch_norm(
        branch.norm,
        m.conv3x3(branch.conv, x, {.out = channels, .kernel = 3, .dilation = rates[i - 1]}, m.separable)));
  };
  const Var branches =
      concat(m.place.path() + ".concat", {conv_norm_relu(m.branches[0], x, {.out = channels}), atrous(1),
                                          atrous(2), atrous(3), pooled(m.pooling, x, channels)});
  return conv_norm_relu(m.project, branches, {.out = channels});
}

Aspp torchvision_aspp(Module m) {
  const Module convs = m["convs"], project = m["project"];
  const auto branch = [&](int i) { return ConvNorm{convs[i][0], convs[i][1]}; };
  return {.place = convs,
          .branches = {branch(0), branch(1), branch(2), branch(3)},
          .pooling = convs[4],
          .project = {project[0], project[1]}};
}

Var deeplabv3_head(Module m, Var x, const std::vector<std::int64_t>& rates, bool separable) {
  Aspp pyramid = torchvision_aspp(m[0]);
  pyramid.separable = separable;
  x = conv3x3(m[1], aspp(pyramid, x, rates), {.out = m.channels(aspp_channels), .kernel = 3}, separable);
  return conv2d(m[4], relu(batch_norm(m[2], x)), {.out = m.classes(voc_classes), .bias = true});
}

DeeplabSpacing deeplab_spacing(std::string_view variant, Hyper& hyper) {
  const std::int64_t output_stride = hyper.integer("os", output_stride_in(variant), {16, 8});
  const std::vector<std::int64_t> published =
      output_stride == 8 ? std::vector<std::int64_t>{12, 24, 36} : std::vector<std::int64_t>{6, 12, 18};
  return {output_stride, hyper.integers("rates", published)};
}

std::string_view backbone_in(std::string_view variant, std::string_view prefix) {
  variant.remove_prefix(prefix.size());
  return variant.substr(0, variant.find("-os"));
}

bool is_deeplab_variant(std::string_view name, std::string_view prefix, std::string_view other) {
  if (!name.starts_with(prefix)) return false;
  const std::string_view backbone = backbone_in(name, prefix);
  const auto net = resnet_by_name(backbone);
  const std::int64_t output_stride = output_stride_in(name);
  return ((net && net->bottlenecks) || backbone == other) && (output_stride == 16 || output_stride == 8) &&
         name == str_cat(prefix, backbone, "-os", output_stride);
}

}  // namespace atrous::networks
