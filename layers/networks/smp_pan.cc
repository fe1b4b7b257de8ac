// PAN of segmentation_models.pytorch: a pyramid of ever smaller maps of one channel, which weigh the pixels
// of the encoder's last map (feature pyramid attention), then three steps in which the mean of what is there
// weighs the channels of a larger map (global attention upsample); two or one from an encoder of depth 4 or
// 3, which 0.5 takes. What it also takes, decoder_interpolation, is of the steps alone.
// segmentation_models_pytorch/decoders/pan/decoder.py
#include <algorithm>

#include "layers/networks/smp.h"

namespace atrous::networks {

namespace {

constexpr std::string_view prefix = "smp_pan_";
constexpr std::string_view options[] = {"depth3", "depth4", "os32"};

constexpr std::string_view variants[] = {"smp_pan_r18",          "smp_pan_r34",
                                         "smp_pan_r50",          "smp_pan_r101",
                                         "smp_pan_mobilenet_v2", "smp_pan_r18_os32",
                                         "smp_pan_r34_os32",     "smp_pan_r50_os32",
                                         "smp_pan_r101_os32",    "smp_pan_mobilenet_v2_os32"};
constexpr std::int64_t published_channels = 32;

constexpr ConfigKey config[] = {smp_config_os, smp_config_upsampling, smp_config_interpolation};

Evidence recognise(const StateDict& state) {
  Evidence evidence = look_for_smp(state, prefix, {"decoder.fpa", "decoder.gau1"});
  add_depth(evidence, !state.has("decoder.gau2") ? 3 : state.has("decoder.gau3") ? smp_depth : 4);
  if (evidence.complete()) evidence.same_keys = {evidence.variant + "_os32"};
  return evidence;
}

// ConvBnRelu: a convolution with bias, batch norm.
Var conv_norm(Module m, Var x, std::int64_t out, std::int64_t kernel) {
  return batch_norm(m["bn"], conv2d(m["conv"], x, {.out = out, .kernel = kernel, .bias = true}));
}
Var conv_norm_relu(Module m, Var x, std::int64_t out, std::int64_t kernel) {
  return relu(conv_norm(m, x, out, kernel));
}

Var mean_of(Module m, Var x) { return adaptive_avg_pool2d(m.path(), x, {.out_h = 1, .out_w = 1}); }

// FPABlock
Var feature_pyramid_attention(Module m, Var x) {
  const std::int64_t channels = m.channels(published_channels);
  const auto halved = [](Module at, Var map) {
    return max_pool2d(at[0].path(), map, {.kernel = 2, .stride = 2});
  };
  const auto grown = [&](std::string_view name, Var map, Var size_of) {
    return resize_like(m[name].path(), map, size_of, smp_bilinear);
  };
  const Var mean = conv_norm_relu(m["branch1"][1], mean_of(m["branch1"][0], x), channels, 1);
  const Var middle = conv_norm_relu(m["mid"][0], x, channels, 1);

  const Var x1 = conv_norm_relu(m["down1"][1], halved(m["down1"], x), 1, 7);
  const Var x2 = conv_norm_relu(m["down2"][1], halved(m["down2"], x1), 1, 5);
  Var x3 = conv_norm_relu(m["down3"][1], halved(m["down3"], x2), 1, 3);
  x3 = conv_norm_relu(m["down3"][2], x3, 1, 3);

  Var weight = add(conv_norm_relu(m["conv2"], x2, 1, 5), grown("resize3", x3, x2));
  weight = add(grown("resize2", weight, x1), conv_norm_relu(m["conv1"], x1, 1, 7));
  return add(mul(middle, grown("resize1", weight, x)), grown("resize_mean", mean, x));
}

// GAUBlock: `early` is the larger map.
Var global_attention_upsample(Module m, Var early, Var x, const Resize& doubling) {
  const std::int64_t channels = m.channels(published_channels);
  const Module mean = m["conv1"];
  const Var gate = activation(conv_norm(mean[1], mean_of(mean[0], x), channels, 1), ActivationKind::sigmoid);
  const Var weighed = mul(conv_norm_relu(m["conv2"], early, channels, 3), gate);
  return add(resize_like(m.path() + ".resize", x, early, doubling), weighed);
}

Network build(Module m, std::string_view variant, Hyper& hyper) {
  const SmpVariant is = smp_variant(prefix, variant);
  const std::int64_t output_stride = hyper.integer("os", is.number("os", 16), {16, 32});
  const int depth = static_cast<int>(is.number("depth", smp_depth));
  const auto maps = smp_encoder(m["encoder"], graph_input(m.builder(), 3), is.encoder, depth, output_stride);
  const Resize doubling = smp_doubling(hyper, "bilinear", true);
  const Module decoder = m["decoder"];
  Var x = feature_pyramid_attention(decoder["fpa"], maps.back());
  for (int level = depth - 1; level >= 2; --level)
    x = global_attention_upsample(decoder[str_cat("gau", level - 1)], maps[static_cast<std::size_t>(level)],
                                  x, doubling);
  const int stride = std::min(static_cast<int>(output_stride), 1 << depth);
  constexpr int least = 8;  // of the last map's sides: three poolings leave one pixel
  return smp_finish(m, x, maps.back(),
                    {.kernel = 3, .stride = 4, .padding = {.multiple = stride, .least = least * stride}},
                    hyper);
}

}  // namespace

extern const Family smp_pan;
constinit const Family smp_pan = smp_family<prefix, options>(
    {.name = "smp_pan",
     .title = "PAN",
     .source = "Li et al. 2018, \"Pyramid Attention Network\"; segmentation_models.pytorch",
     .variants = variants,
     .config = config,
     .recognise = recognise,
     .build = build});

}  // namespace atrous::networks
