// U-Net++ of segmentation_models.pytorch: U-Net's decoder, in which between an encoder's map and the block
// that joins it stand blocks that join the maps of the same size so far with the next smaller.
// segmentation_models_pytorch/decoders/unetplusplus/decoder.py
#include "layers/networks/smp.h"

namespace atrous::networks {

namespace {

constexpr std::string_view prefix = "smp_unetplusplus_";
constexpr std::string_view options[] = {"depth3", "depth4", "scse", "nobn"};

constexpr std::string_view variants[] = {"smp_unetplusplus_r18", "smp_unetplusplus_r34",
                                         "smp_unetplusplus_r50", "smp_unetplusplus_r101",
                                         "smp_unetplusplus_mobilenet_v2"};

constexpr ConfigKey config[] = {smp_config_interpolation};

Evidence recognise(const StateDict& state) {
  Evidence evidence = look_for_smp(state, prefix, {"decoder.blocks.x_0_0.conv1"});
  int depth = 0;
  while (state.has(str_cat("decoder.blocks.x_0_", depth))) ++depth;
  add_depth(evidence, depth);
  add_option(evidence, "scse", state.has("decoder.blocks.x_0_0.attention1"));
  add_option(evidence, "nobn", !state.has("decoder.blocks.x_0_0.conv1.1"));
  return evidence;
}

Network build(Module m, std::string_view variant, Hyper& hyper) {
  const SmpVariant is = smp_variant(prefix, variant);
  const int depth = static_cast<int>(is.number("depth", smp_depth));
  const auto maps = smp_encoder(m["encoder"], graph_input(m.builder(), 3), is.encoder, depth);
  const SmpDecoder decoder{.doubling = smp_doubling(hyper), .norm = !is.has("nobn"), .scse = is.has("scse")};
  const auto feature = [&](int i) { return maps[static_cast<std::size_t>(depth - i)]; };  // smallest first
  const auto channels = [&](int i) { return m.channels(smp_block_channels(i, depth)); };
  const auto block = [&](int d, int l) { return m["decoder"]["blocks"][str_cat("x_", d, "_", l)]; };

  // nodes[d] is x_d_l of the l that was reached last; columns[l] are x_l_l, x_(l-1)_l, ..., which stand
  // beside feature(l + 1).
  const int last = depth - 1;
  std::vector<Var> nodes;
  std::vector<std::vector<Var>> columns(static_cast<std::size_t>(last));
  for (int steps = 0; steps < last; ++steps)
    for (int d = 0; d + steps < last; ++d) {
      const int l = d + steps;
      std::vector<Var>& column = columns[static_cast<std::size_t>(l)];
      std::vector<Var> skips(column.rbegin(), column.rend());  // x_(d+1)_l first
      skips.push_back(feature(l + 1));
      const Var below = steps == 0 ? feature(d) : nodes[static_cast<std::size_t>(d)];
      const Var node =
          smp_block(block(d, l), below, skips, d == 0 ? channels(l) : feature(l + 1).channels(), decoder);
      column.push_back(node);
      if (steps == 0) nodes.push_back(node);
      nodes[static_cast<std::size_t>(d)] = node;
    }
  const Var x = smp_block(block(0, last), nodes.front(), {}, channels(last), decoder);
  return smp_finish(m, x, maps.back(), {.kernel = 3, .padding = {.multiple = 1 << depth}}, hyper);
}

}  // namespace

extern const Family smp_unetplusplus;
constinit const Family smp_unetplusplus =
    smp_family<prefix, options>({.name = "smp_unetplusplus",
                                 .title = "U-Net++",
                                 .source = "Zhou et al. 2018, \"UNet++\"; segmentation_models.pytorch",
                                 .variants = variants,
                                 .config = config,
                                 .recognise = recognise,
                                 .build = build});

}  // namespace atrous::networks
