// MAnet of segmentation_models.pytorch: U-Net's decoder, in which every pixel of the encoder's last map looks
// at all others (position-wise attention), and what is doubled is weighed by its own and the skip's means
// (multi-scale fusion attention).
// segmentation_models_pytorch/decoders/manet/decoder.py
#include <algorithm>

#include "layers/networks/smp.h"

namespace atrous::networks {

namespace {

constexpr std::string_view prefix = "smp_manet_";
constexpr std::string_view options[] = {"depth3", "depth4", "nobn"};

constexpr std::string_view variants[] = {"smp_manet_r18", "smp_manet_r34", "smp_manet_r50", "smp_manet_r101",
                                         "smp_manet_mobilenet_v2"};
constexpr std::int64_t position_channels = 64;  // decoder_pab_channels
constexpr std::int64_t reduction = 16;

constexpr ConfigKey config[] = {smp_config_interpolation};

Evidence recognise(const StateDict& state) {
  Evidence evidence = look_for_smp(
      state, prefix, {"decoder.center.top_conv", "decoder.blocks.0.hl_conv", "decoder.blocks.0.conv1"});
  const int depth = count_modules(state, "decoder.blocks");
  add_depth(evidence, depth);
  add_option(evidence, "nobn", !state.has("decoder.blocks.0.conv1.1"));
  return evidence;
}

// PAB
Var position_attention_block(Module m, Var x) {
  const ConvOptions small{.out = m.channels(position_channels), .bias = true},
      same{.out = x.channels(), .kernel = 3, .bias = true};
  const Var key = conv2d(m["top_conv"], x, small), query = conv2d(m["center_conv"], x, small),
            value = conv2d(m["bottom_conv"], x, same);
  x = add(x, position_attention(m["map_softmax"].path(), query, key, value));
  return conv2d(m["out_conv"], x, same);
}

// MFAB: two sigmoids are added, so that a channel may grow to twice its size.
Var fusion_attention_block(Module m, Var x, Var skip, std::int64_t out, const SmpDecoder& decoder) {
  const std::int64_t squeezed = std::max<std::int64_t>(1, skip.channels() / reduction);
  x = smp_conv(m["hl_conv"][0], x, {.out = x.channels(), .kernel = 3}, decoder.norm);
  x = smp_conv(m["hl_conv"][1], x, {.out = skip.channels()}, decoder.norm);
  x = resize_by(m.path() + ".resize", x, 2, decoder.doubling);
  const Var gate = add(smp_gate(m["SE_hl"], x, squeezed), smp_gate(m["SE_ll"], skip, squeezed));
  x = concat(m.path() + ".concat", {mul(x, gate), skip});
  x = smp_conv(m["conv1"], x, {.out = out, .kernel = 3}, decoder.norm);
  return smp_conv(m["conv2"], x, {.out = out, .kernel = 3}, decoder.norm);
}

Network build(Module m, std::string_view variant, Hyper& hyper) {
  const SmpVariant is = smp_variant(prefix, variant);
  const int depth = static_cast<int>(is.number("depth", smp_depth));
  const auto maps = smp_encoder(m["encoder"], graph_input(m.builder(), 3), is.encoder, depth);
  const SmpDecoder decoder{.doubling = smp_doubling(hyper), .norm = !is.has("nobn")};
  Var x = position_attention_block(m["decoder"]["center"], maps.back());
  for (int i = 0; i < depth; ++i) {
    const Module block = m["decoder"]["blocks"][i];
    const std::int64_t out = m.channels(smp_block_channels(i, depth));
    const int level = depth - 1 - i;
    x = level > 0 ? fusion_attention_block(block, x, maps[static_cast<std::size_t>(level)], out, decoder)
                  : smp_block(block, x, {}, out, decoder);
  }
  return smp_finish(m, x, maps.back(), {.kernel = 3, .padding = {.multiple = 1 << depth}}, hyper);
}

}  // namespace

extern const Family smp_manet;
constinit const Family smp_manet =
    smp_family<prefix, options>({.name = "smp_manet",
                                 .title = "MAnet",
                                 .source = "Fan et al. 2020, \"MA-Net\"; segmentation_models.pytorch",
                                 .variants = variants,
                                 .config = config,
                                 .recognise = recognise,
                                 .build = build});

}  // namespace atrous::networks
