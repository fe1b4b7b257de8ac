// U-Net of segmentation_models.pytorch: an encoder's maps, the smallest doubled and joined with the next
// larger one until the picture's size is reached.
// segmentation_models_pytorch/decoders/unet/decoder.py
#include "layers/networks/smp.h"

namespace atrous::networks {

namespace {

constexpr std::string_view prefix = "smp_unet_";

// Poutyne's example of semantic segmentation: VOC's 21 classes, and those pixels as the 22nd that VOC's
// labels leave out. Its photos are 224x224.
constexpr std::string_view poutyne = "22classes_poutyne";
constexpr std::int64_t poutyne_classes = 22;
constexpr int poutyne_side = 224;

constexpr std::string_view options[] = {"depth3", "depth4", "scse", "nobn", poutyne};

constexpr std::string_view variants[] = {"smp_unet_r18",          "smp_unet_r34",
                                         "smp_unet_r50",          "smp_unet_r101",
                                         "smp_unet_mobilenet_v2", "smp_unet_r18_depth3",
                                         "smp_unet_r18_depth4",   "smp_unet_r34_scse",
                                         "smp_unet_r34_nobn",     "smp_unet_r34_22classes_poutyne"};

constexpr ConfigKey config[] = {smp_config_interpolation};

Evidence recognise(const StateDict& state) {
  Evidence evidence = look_for_smp(state, prefix, {"decoder.blocks.0.conv1"});
  const int depth = count_modules(state, "decoder.blocks");
  add_depth(evidence, depth);
  add_option(evidence, "scse", state.has("decoder.blocks.0.attention1"));
  add_option(evidence, "nobn", !state.has("decoder.blocks.0.conv1.1"));
  const StateTensor* head = state.find("segmentation_head.0.weight");
  if (evidence.variant == "smp_unet_r34" && head && !head->shape.empty() &&
      head->shape[0] == poutyne_classes) {
    evidence.same_keys = {evidence.variant};
    add_option(evidence, poutyne, true);
  }
  return evidence;
}

Network build(Module m, std::string_view variant, Hyper& hyper) {
  const SmpVariant is = smp_variant(prefix, variant);
  const int depth = static_cast<int>(is.number("depth", smp_depth));
  const auto maps = smp_encoder(m["encoder"], graph_input(m.builder(), 3), is.encoder, depth);
  const SmpDecoder decoder{.doubling = smp_doubling(hyper), .norm = !is.has("nobn"), .scse = is.has("scse")};

  Var x = maps.back();
  for (int i = 0; i < depth; ++i) {
    const int level = depth - 1 - i;  // of the map beside it; the picture itself is none
    std::vector<Var> skips;
    if (level > 0) skips.push_back(maps[static_cast<std::size_t>(level)]);
    x = smp_block(m["decoder"]["blocks"][i], x, skips, m.channels(smp_block_channels(i, depth)), decoder);
  }
  const bool is_poutyne = is.has(poutyne);
  Network network = smp_finish(
      m, x, maps.back(),
      {.kernel = 3, .padding = {.multiple = 1 << depth}, .classes = is_poutyne ? poutyne_classes : 21},
      hyper);
  if (is_poutyne) {
    network.preparation.resize = {
        .kind = ResizeRule::Kind::exact, .width = poutyne_side, .height = poutyne_side};
    network.last_is_void = true;
  }
  return network;
}

}  // namespace

extern const Family smp_unet;
constinit const Family smp_unet = smp_family<prefix, options>(
    {.name = "smp_unet",
     .title = "U-Net",
     .source = "Ronneberger, Fischer & Brox 2015, \"U-Net\"; segmentation_models.pytorch",
     .variants = variants,
     .config = config,
     .recognise = recognise,
     .build = build});

}  // namespace atrous::networks
