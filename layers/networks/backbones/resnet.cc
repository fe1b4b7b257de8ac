#include "layers/networks/backbones/resnet.h"

#include <array>

#include "layers/base/error.h"

namespace atrous {

Var bottleneck(Module m, Var x, std::int64_t stride, std::int64_t dilation) {
  Var out = relu(batch_norm(m["bn1"], conv2d(m["conv1"], x)));
  out = relu(batch_norm(
      m["bn2"],
      conv2d(m["conv2"], out, {.kernel = 3, .stride = stride, .dilation = dilation, .grouped = true})));
  out = batch_norm(m["bn3"], conv2d(m["conv3"], out));
  Var identity = x;
  if (m.has("downsample"))
    identity = batch_norm(m["downsample"][1], conv2d(m["downsample"][0], x, {.stride = stride}));
  return relu(add(out, identity));
}

Var basic_block(Module m, Var x, std::int64_t stride) {
  Var out = relu(batch_norm(m["bn1"], conv2d(m["conv1"], x, {.kernel = 3, .stride = stride})));
  out = batch_norm(m["bn2"], conv2d(m["conv2"], out, {.kernel = 3}));
  Var identity = x;
  if (m.has("downsample"))
    identity = batch_norm(m["downsample"][1], conv2d(m["downsample"][0], x, {.stride = stride}));
  return relu(add(out, identity));
}

namespace {

bool has_bottlenecks(Module m) { return m["layer1"][0].has("conv3"); }

// Blocks are numbered from 0 without gaps; one is looked for even where there is none, so that it is reported
// missing.
int count_blocks(Module layer) {
  int blocks = 1;
  while (layer.has(std::to_string(blocks))) ++blocks;
  return blocks;
}

Var bottleneck_layer(Module m, Var x, std::int64_t stride, std::int64_t first_dilation,
                     std::int64_t dilation) {
  x = bottleneck(m[0], x, stride, first_dilation);
  const int blocks = count_blocks(m);
  for (int block = 1; block < blocks; ++block) x = bottleneck(m[block], x, 1, dilation);
  return x;
}

Var basic_layer(Module m, Var x, std::int64_t stride) {
  x = basic_block(m[0], x, stride);
  const int blocks = count_blocks(m);
  for (int block = 1; block < blocks; ++block) x = basic_block(m[block], x, 1);
  return x;
}

}  // namespace

ResnetFeatures resnet(Module m, Var x) {
  x = relu(batch_norm(m["bn1"], conv2d(m["conv1"], x, {.kernel = 7, .stride = 2})));
  x = max_pool2d(m.path() + ".maxpool", x, {.kernel = 3, .stride = 2, .padding = 1});
  if (has_bottlenecks(m)) {
    x = bottleneck_layer(m["layer1"], x, 1, 1, 1);
    x = bottleneck_layer(m["layer2"], x, 2, 1, 1);
    const Var layer3 = bottleneck_layer(m["layer3"], x, 1, 1, 2);
    const Var layer4 = bottleneck_layer(m["layer4"], layer3, 1, 2, 4);
    return {layer3, layer4, 8};
  }
  x = basic_layer(m["layer1"], x, 1);
  x = basic_layer(m["layer2"], x, 2);
  const Var layer3 = basic_layer(m["layer3"], x, 2);
  const Var layer4 = basic_layer(m["layer4"], layer3, 2);
  return {layer3, layer4, 32};
}

std::string resnet_name(Module m) {
  struct Published {
    const char* name;
    bool bottlenecks;
    std::array<int, 4> blocks;
  };
  constexpr Published published[] = {{"resnet18", false, {2, 2, 2, 2}},
                                     {"resnet34", false, {3, 4, 6, 3}},
                                     {"resnet50", true, {3, 4, 6, 3}},
                                     {"resnet101", true, {3, 4, 23, 3}},
                                     {"resnet152", true, {3, 8, 36, 3}}};
  std::array<int, 4> blocks;
  for (int i = 0; i < 4; ++i) blocks[static_cast<std::size_t>(i)] = count_blocks(m[text("layer", i + 1)]);
  const StateTensor* stem = m.builder().state.find(m.path() + ".conv1.weight");
  const bool published_width = stem && !stem->shape.empty() && stem->shape[0] == 64;
  for (const Published& p : published)
    if (published_width && p.bottlenecks == has_bottlenecks(m) && p.blocks == blocks) return p.name;
  return text("resnet(", blocks[0], ",", blocks[1], ",", blocks[2], ",", blocks[3], ")");
}

}  // namespace atrous
