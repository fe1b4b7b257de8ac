// DeepLabV3 of segmentation_models.pytorch: atrous spatial pyramid pooling on an encoder whose last stages
// are dilated, and one 3x3 convolution. The encoder's depth may be 4 or 3; at 3 its last map has a stride of
// 8, whatever the output stride.
//
// Both generations of keys: decoder.0, decoder.1, decoder.2 before 0.5, which calls them decoder.aspp,
// decoder.conv, decoder.bn; results are the same.
// segmentation_models_pytorch/decoders/deeplabv3/decoder.py
#include <algorithm>

#include "layers/networks/smp_deeplab.h"

namespace atrous::networks {

namespace {

constexpr std::string_view prefix = "smp_deeplabv3_";
constexpr std::string_view options[] = {"depth3", "depth4", "os16"};

constexpr std::string_view variants[] = {"smp_deeplabv3_r18",          "smp_deeplabv3_r34",
                                         "smp_deeplabv3_r50",          "smp_deeplabv3_r101",
                                         "smp_deeplabv3_mobilenet_v2", "smp_deeplabv3_r18_os16",
                                         "smp_deeplabv3_r34_os16",     "smp_deeplabv3_r50_os16",
                                         "smp_deeplabv3_r101_os16",    "smp_deeplabv3_mobilenet_v2_os16"};

constexpr ConfigKey config[] = {smp_config_os, smp_config_rates, smp_config_upsampling};

Evidence recognise(const StateDict& state) {
  const bool named = state.has("decoder.aspp.convs");
  Evidence evidence = named
                          ? look_for_smp(state, prefix, {"decoder.aspp.convs", "decoder.conv", "decoder.bn"})
                          : look_for_smp(state, prefix, {"decoder.0.convs", "decoder.1", "decoder.2"});
  add_depth(evidence,
            smp_depth_of(state, named ? "decoder.aspp.convs.0.0" : "decoder.0.convs.0.0", smp_depth));
  if (evidence.complete()) evidence.same_keys = {evidence.variant + "_os16"};
  return evidence;
}

Network build(Module m, std::string_view variant, Hyper& hyper) {
  const SmpVariant is = smp_variant(prefix, variant);
  const std::int64_t output_stride = hyper.integer("os", is.number("os", 8), {8, 16});
  const int depth = static_cast<int>(is.number("depth", smp_depth));
  const auto maps = smp_encoder(m["encoder"], graph_input(m.builder(), 3), is.encoder, depth, output_stride);
  const Module decoder = m["decoder"];
  const bool named = decoder.has("aspp");
  Var x = smp_aspp(decoder[named ? "aspp" : "0"], maps.back(), hyper, false);
  x = smp_conv3x3(decoder[named ? "conv" : "1"], x, {.out = m.channels(aspp_channels), .kernel = 3}, false);
  x = relu(batch_norm(decoder[named ? "bn" : "2"], x));
  const int stride = std::min(static_cast<int>(output_stride), 1 << depth);
  return smp_finish(m, x, maps.back(), {.kernel = 1, .stride = stride, .padding = {.multiple = stride}},
                    hyper);
}

}  // namespace

extern const Family smp_deeplabv3;
constinit const Family smp_deeplabv3 = smp_family<prefix, options>(
    {.name = "smp_deeplabv3",
     .title = "DeepLabV3",
     .source = "Chen et al. 2017, \"Rethinking Atrous Convolution\"; segmentation_models.pytorch",
     .variants = variants,
     .config = config,
     .recognise = recognise,
     .build = build});

}  // namespace atrous::networks
