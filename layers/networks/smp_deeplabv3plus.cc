// DeepLabV3+ of segmentation_models.pytorch: atrous spatial pyramid pooling, whose answer grows to a quarter
// of the picture and is joined with an early map; 3x3 convolutions of the decoder are separable. From 0.5 on
// the encoder's depth may be 4 or 3; at 3 its last map has a stride of 8, whatever the output stride.
// segmentation_models_pytorch/decoders/deeplabv3/decoder.py
#include <algorithm>

#include "layers/networks/smp_deeplab.h"

namespace atrous::networks {

namespace {

constexpr std::string_view prefix = "smp_deeplabv3plus_";
constexpr std::string_view options[] = {"depth3", "depth4", "os8"};

constexpr std::string_view variants[] = {
    "smp_deeplabv3plus_r18",          "smp_deeplabv3plus_r34",
    "smp_deeplabv3plus_r50",          "smp_deeplabv3plus_r101",
    "smp_deeplabv3plus_mobilenet_v2", "smp_deeplabv3plus_r18_os8",
    "smp_deeplabv3plus_r34_os8",      "smp_deeplabv3plus_r50_os8",
    "smp_deeplabv3plus_r101_os8",     "smp_deeplabv3plus_mobilenet_v2_os8"};

constexpr ConfigKey config[] = {smp_config_os, smp_config_rates, smp_config_upsampling};

Evidence recognise(const StateDict& state) {
  Evidence evidence =
      look_for_smp(state, prefix, {"decoder.aspp.0.convs", "decoder.block1", "decoder.block2"});
  const int depth = smp_depth_of(state, "decoder.aspp.0.convs.0.0", smp_depth);
  add_depth(evidence, depth);
  if (evidence.complete()) evidence.same_keys = {evidence.variant + "_os8"};
  return evidence;
}

Network build(Module m, std::string_view variant, Hyper& hyper) {
  const SmpVariant is = smp_variant(prefix, variant);
  const std::int64_t output_stride = hyper.integer("os", is.number("os", 16), {16, 8});
  const int depth = static_cast<int>(is.number("depth", smp_depth));
  const auto maps = smp_encoder(m["encoder"], graph_input(m.builder(), 3), is.encoder, depth, output_stride);
  const Module decoder = m["decoder"], aspp = decoder["aspp"], low = decoder["block1"],
               last = decoder["block2"];
  const ConvOptions conv{.out = m.channels(aspp_channels), .kernel = 3};

  Var x = smp_aspp(aspp[0], maps.back(), hyper, true);
  x = relu(batch_norm(aspp[2], smp_conv3x3(aspp[1], x, conv, true)));
  const Var early = smp_conv(low, maps[2], {.out = m.channels(48)});
  x = resize_like(decoder["up"].path(), x, early, smp_bilinear);
  x = concat(decoder.path() + ".concat", {x, early});
  x = relu(batch_norm(last[1], smp_conv3x3(last[0], x, conv, true)));
  return smp_finish(m, x, maps.back(),
                    {.kernel = 1,
                     .stride = 4,
                     .padding = {.multiple = std::min(static_cast<int>(output_stride), 1 << depth)}},
                    hyper);
}

}  // namespace

extern const Family smp_deeplabv3plus;
constinit const Family smp_deeplabv3plus = smp_family<prefix, options>(
    {.name = "smp_deeplabv3plus",
     .title = "DeepLabV3+",
     .source = "Chen et al. 2018, \"Encoder-Decoder with Atrous Separable Convolution\"; "
               "segmentation_models.pytorch",
     .variants = variants,
     .config = config,
     .recognise = recognise,
     .build = build});

}  // namespace atrous::networks
