#include "layers/networks/backbones/resnet.h"

#include <charconv>

#include "layers/base/error.h"

namespace atrous {

namespace {

// conv, batch norm, relu of a block's three or two.
Var conv_norm(Module m, const std::string& number, Var x, const ConvOptions& options) {
  return batch_norm(m["bn" + number], conv2d(m["conv" + number], x, options));
}

// The identity as the sum wants it.
Var shortcut(Module m, Var x, std::int64_t channels, std::int64_t stride) {
  if (!m.has("downsample", stride != 1 || x.channels() != channels)) return x;
  const Module downsample = m["downsample"];
  return batch_norm(downsample[1], conv2d(downsample[0], x, {.out = channels, .stride = stride}));
}

}  // namespace

Var bottleneck(Module m, Var x, std::int64_t planes, std::int64_t stride, std::int64_t dilation) {
  Var out = relu(conv_norm(m, "1", x, {.out = planes}));
  out = relu(conv_norm(
      m, "2", out, {.out = planes, .kernel = 3, .stride = stride, .dilation = dilation, .grouped = true}));
  out = conv_norm(m, "3", out, {.out = 4 * planes});
  return relu(add(out, shortcut(m, x, 4 * planes, stride)));
}

Var basic_block(Module m, Var x, std::int64_t planes, std::int64_t stride, std::int64_t dilation) {
  Var out = relu(conv_norm(m, "1", x, {.out = planes, .kernel = 3, .stride = stride, .dilation = dilation}));
  out = conv_norm(m, "2", out, {.out = planes, .kernel = 3, .dilation = dilation});
  return relu(add(out, shortcut(m, x, planes, stride)));
}

namespace {

struct Published {
  std::string_view name;
  Resnet net;
};
constexpr Published published[] = {{"resnet18", {false, {2, 2, 2, 2}}},
                                   {"resnet34", {false, {3, 4, 6, 3}}},
                                   {"resnet50", {true, {3, 4, 6, 3}}},
                                   {"resnet101", {true, {3, 4, 23, 3}}},
                                   {"resnet152", {true, {3, 8, 36, 3}}}};
constexpr std::int64_t published_stem = 64;

// One block is looked for even where there is none, so that it is reported missing.
int count_blocks(const StateDict& state, const std::string& layer) {
  int blocks = 1;
  while (state.has(str_cat(layer, '.', blocks))) ++blocks;
  return blocks;
}

}  // namespace

Var resnet_stage(Module m, Var x, bool bottlenecks, int blocks, std::int64_t planes, const Spacing& spacing) {
  for (int block = 0; block < blocks; ++block) {
    const std::int64_t stride = block == 0 ? spacing.stride : 1,
                       dilation = (block == 0 ? spacing.first_dilation : spacing.dilation) *
                                  spacing.grid[static_cast<std::size_t>(block) % spacing.grid.size()];
    x = bottlenecks ? bottleneck(m[block], x, planes, stride, dilation)
                    : basic_block(m[block], x, planes, stride, dilation);
  }
  return x;
}

Resnet resnet_of(const StateDict& state, const std::string& module) {
  const std::string layer = module.empty() ? "layer" : module + ".layer";
  Resnet net{.bottlenecks = state.has(layer + "1.0.conv3")};
  for (std::size_t i = 0; i < 4; ++i) net.blocks[i] = count_blocks(state, str_cat(layer, i + 1));
  return net;
}

std::string name_of(const Resnet& net, std::int64_t stem_channels) {
  for (const Published& p : published)
    if (stem_channels == published_stem && p.net == net) return std::string(p.name);
  return str_cat("resnet(", net.blocks[0], ",", net.blocks[1], ",", net.blocks[2], ",", net.blocks[3], ")");
}

std::string resnet_name(const StateDict& state, const std::string& module, std::string_view stem) {
  const StateTensor* first = state.find(stem.empty() ? module + ".conv1.weight" : std::string(stem));
  return name_of(resnet_of(state, module), first && !first->shape.empty() ? first->shape[0] : 0);
}

std::optional<Resnet> resnet_by_name(std::string_view name) {
  for (const Published& p : published)
    if (p.name == name) return p.net;
  constexpr std::string_view prefix = "resnet";
  if (!name.starts_with(prefix) || !name.ends_with(')')) return std::nullopt;
  name.remove_prefix(prefix.size());
  Resnet net;
  for (std::size_t i = 0; i < 4; ++i) {
    if (name.empty() || name.front() != (i == 0 ? '(' : ',')) return std::nullopt;
    const auto [end, error] = std::from_chars(name.data() + 1, name.data() + name.size(), net.blocks[i]);
    if (error != std::errc() || net.blocks[i] < 1 || net.blocks[i] > 100) return std::nullopt;
    name.remove_prefix(static_cast<std::size_t>(end - name.data()));
  }
  return name == ")" ? std::optional(net) : std::nullopt;
}

Resnet resnet_in(const Module& m, std::string_view name) {
  if (!m.builder().published) return resnet_of(m.builder().state, m.path());
  const auto net = resnet_by_name(name);
  if (!net) fail(ErrorCode::invalid_argument, "no ResNet is called ", name);
  return *net;
}

Spacings torchvision_spacings(std::int64_t output_stride) {
  constexpr Spacing plain, strided{.stride = 2}, first_dilated{.first_dilation = 1, .dilation = 2},
      second_dilated{.first_dilation = 2, .dilation = 4};
  if (output_stride == 8) return {plain, strided, first_dilated, second_dilated};
  if (output_stride == 16) return {plain, strided, strided, first_dilated};
  return {plain, strided, strided, strided};
}

ResnetFeatures resnet(Module m, Var x, const Resnet& net, const Spacings& spacings) {
  x = relu(conv_norm(m, "1", x, {.out = m.channels(published_stem), .kernel = 7, .stride = 2}));
  return resnet_behind(m, x, net, spacings);
}

Var deep_stem(Module m, Module last_norm, Var x) {
  const std::int64_t channels = m.channels(published_stem);
  x = relu(batch_norm(m[1], conv2d(m[0], x, {.out = channels, .kernel = 3, .stride = 2})));
  x = relu(batch_norm(m[4], conv2d(m[3], x, {.out = channels, .kernel = 3})));
  return relu(batch_norm(last_norm, conv2d(m[6], x, {.out = 2 * channels, .kernel = 3})));
}

ResnetFeatures resnet_behind(Module m, Var x, const Resnet& net, const Spacings& spacings) {
  ResnetFeatures features{.stem = x, .layers = {x, x, x, x}};
  x = max_pool2d(m["maxpool"].path(), x, {.kernel = 3, .stride = 2, .padding = 1});
  for (std::size_t i = 0; i < 4; ++i) {
    x = resnet_stage(m[str_cat("layer", i + 1)], x, net.bottlenecks, net.blocks[i],
                     m.channels(published_stem << i), spacings[i]);
    features.layers[i] = x;
  }
  return features;
}

}  // namespace atrous
