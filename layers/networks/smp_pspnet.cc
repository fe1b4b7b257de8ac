// PSPNet of segmentation_models.pytorch: means over four grids beside the map they were taken of. The map is
// the encoder's at an eighth of the picture (encoder_depth 3), or a sixteenth or a thirty-second.
// segmentation_models_pytorch/decoders/pspnet/decoder.py
#include "layers/networks/smp.h"

namespace atrous::networks {

namespace {

constexpr std::string_view prefix = "smp_pspnet_";
constexpr std::string_view options[] = {"depth4", "depth5", "nobn"};

constexpr std::string_view variants[] = {
    "smp_pspnet_r18",          "smp_pspnet_r34",        "smp_pspnet_r50",       "smp_pspnet_r101",
    "smp_pspnet_mobilenet_v2", "smp_pspnet_r34_depth4", "smp_pspnet_r34_depth5"};
constexpr int published_depth = 3;

constexpr ConfigKey config[] = {smp_config_upsampling};

Evidence recognise(const StateDict& state) {
  Evidence evidence = look_for_smp(state, prefix, {"decoder.psp.blocks", "decoder.conv.0"});
  const int depth = smp_depth_of(state, "decoder.psp.blocks.0.pool.1.0", published_depth);
  add_option(evidence, "depth4", depth == 4);
  add_option(evidence, "depth5", depth == 5);
  add_option(evidence, "nobn", !state.has("decoder.conv.1"));
  return evidence;
}

// A grid of 1x1 has a convolution with bias and no batch norm: a batch of one would have nothing to normalise
// in training.
Var pyramid(Module m, Var x, bool norm) {
  constexpr int grids[] = {1, 2, 3, 6};
  const std::int64_t channels = x.channels() / 4;
  std::vector<Var> joined;
  for (int i = 0; i < 4; ++i) {
    const Module pool = m["blocks"][i]["pool"];
    Var mean = adaptive_avg_pool2d(pool[0].path(), x, {.out_h = grids[i], .out_w = grids[i]});
    mean = smp_conv(pool[1], mean, {.out = channels}, norm && grids[i] > 1);
    joined.push_back(resize_like(pool.path() + ".resize", mean, x, smp_bilinear));
  }
  joined.push_back(x);
  return concat(m.path() + ".concat", joined);
}

Network build(Module m, std::string_view variant, Hyper& hyper) {
  const SmpVariant is = smp_variant(prefix, variant);
  const int depth = static_cast<int>(is.number("depth", published_depth)), stride = 1 << depth;
  const bool norm = !is.has("nobn");
  const auto maps = smp_encoder(m["encoder"], graph_input(m.builder(), 3), is.encoder, depth);
  Var x = pyramid(m["decoder"]["psp"], maps.back(), norm);
  x = smp_conv(m["decoder"]["conv"], x, {.out = m.channels(512)}, norm);
  return smp_finish(m, x, maps.back(), {.kernel = 3, .stride = stride, .padding = {.multiple = stride}},
                    hyper);
}

}  // namespace

extern const Family smp_pspnet;
constinit const Family smp_pspnet = smp_family<prefix, options>(
    {.name = "smp_pspnet",
     .title = "PSPNet",
     .source = "Zhao et al. 2017, \"Pyramid Scene Parsing Network\"; segmentation_models.pytorch",
     .variants = variants,
     .config = config,
     .recognise = recognise,
     .build = build});

}  // namespace atrous::networks
