#include "layers/networks/backbones/drn.h"

#include "layers/networks/backbones/resnet.h"

namespace atrous {

DrnFeatures drn_d_54(Module m, Var x) {
  const auto conv = [&](int layer, Var in, const ConvOptions& options) {
    const Module at = m[str_cat("layer", layer)];
    return relu(batch_norm(at[1], conv2d(at[0], in, options)));
  };
  const auto stage = [&](int layer, Var in, int blocks, std::int64_t planes, const Spacing& spacing) {
    return resnet_stage(m[str_cat("layer", layer)], in, true, blocks, m.channels(planes), spacing);
  };
  x = conv(0, x, {.out = m.channels(16), .kernel = 7});
  x = conv(1, x, {.out = m.channels(16), .kernel = 3});
  x = conv(2, x, {.out = m.channels(32), .kernel = 3, .stride = 2});
  const Var low = x = stage(3, x, 3, 64, {.stride = 2});
  x = stage(4, x, 4, 128, {.stride = 2});
  x = stage(5, x, 6, 256, {.first_dilation = 2, .dilation = 2});
  x = stage(6, x, 3, 512, {.first_dilation = 4, .dilation = 4});
  x = conv(7, x, {.out = m.channels(512), .kernel = 3, .dilation = 2});
  x = conv(8, x, {.out = m.channels(512), .kernel = 3});
  return {low, x};
}

}  // namespace atrous
