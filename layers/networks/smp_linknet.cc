// LinkNet of segmentation_models.pytorch: maps are doubled by transposed convolutions of a quarter of their
// channels and added to the encoder's.
// segmentation_models_pytorch/decoders/linknet/decoder.py
#include "layers/networks/smp.h"

namespace atrous::networks {

namespace {

constexpr std::string_view prefix = "smp_linknet_";
constexpr std::string_view options[] = {"depth3", "depth4", "nobn"};

constexpr std::string_view variants[] = {"smp_linknet_r18", "smp_linknet_r34", "smp_linknet_r50",
                                         "smp_linknet_r101", "smp_linknet_mobilenet_v2"};

Evidence recognise(const StateDict& state) {
  Evidence evidence = look_for_smp(state, prefix, {"decoder.blocks.0.block"});
  const int depth = count_modules(state, "decoder.blocks");
  add_depth(evidence, depth);
  add_option(evidence, "nobn", !state.has("decoder.blocks.0.block.0.1"));
  return evidence;
}

// TransposeX2: unlike other convolutions before a batch norm, this one has a bias too.
Var transpose_x2(Module m, Var x, bool norm) {
  const bool has_norm = m.has("1", norm);
  x = conv_transpose2d(m[0], x, {.out = x.channels(), .kernel = 4, .stride = 2, .padding = 1, .bias = true});
  return relu(has_norm ? batch_norm(m[1], x) : x);
}

Var block(Module m, Var x, std::int64_t out, bool norm) {
  x = smp_conv(m[0], x, {.out = x.channels() / 4}, norm);
  return smp_conv(m[2], transpose_x2(m[1], x, norm), {.out = out}, norm);
}

Network build(Module m, std::string_view variant, Hyper& hyper) {
  const SmpVariant is = smp_variant(prefix, variant);
  const int depth = static_cast<int>(is.number("depth", smp_depth));
  const auto maps = smp_encoder(m["encoder"], graph_input(m.builder(), 3), is.encoder, depth);
  Var x = maps.back();
  for (int i = 0; i < depth; ++i) {
    const Module at = m["decoder"]["blocks"][i]["block"];
    const int level = depth - 1 - i;
    if (level == 0) {
      x = block(at, x, m.channels(32), !is.has("nobn"));
      break;
    }
    const Var skip = maps[static_cast<std::size_t>(level)];
    x = add(block(at, x, skip.channels(), !is.has("nobn")), skip);
  }
  return smp_finish(m, x, maps.back(), {.kernel = 1, .padding = {.multiple = 1 << depth}}, hyper);
}

}  // namespace

extern const Family smp_linknet;
constinit const Family smp_linknet = smp_family<prefix, options>(
    {.name = "smp_linknet",
     .title = "LinkNet",
     .source = "Chaurasia & Culurciello 2017, \"LinkNet\"; segmentation_models.pytorch",
     .variants = variants,
     .recognise = recognise,
     .build = build});

}  // namespace atrous::networks
