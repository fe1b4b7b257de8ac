// FPN of segmentation_models.pytorch: a feature pyramid, whose four maps are brought to the largest one's
// size and joined, by a sum or side by side. They are the encoder's last four, the largest of a quarter of
// the picture's size; of half at encoder depth 4, and the picture itself at depth 3. Their names are those of
// depth 5 all the same. The constructor's upsampling is 4 at every depth unless told otherwise, which at
// depths 4 and 3 makes logits of two and four times the picture's size.
// segmentation_models_pytorch/decoders/fpn/decoder.py
#include <algorithm>

#include "layers/networks/smp.h"

namespace atrous::networks {

namespace {

constexpr std::string_view prefix = "smp_fpn_";
constexpr std::string_view options[] = {"depth3", "depth4", "cat"};

constexpr std::string_view variants[] = {"smp_fpn_r18",        "smp_fpn_r34",          "smp_fpn_r50",
                                         "smp_fpn_r101",       "smp_fpn_mobilenet_v2", "smp_fpn_r34_cat",
                                         "smp_fpn_r34_depth3", "smp_fpn_r34_depth4"};
constexpr std::int64_t pyramid_channels = 256, merged_channels = 128;

constexpr ConfigKey config[] = {smp_config_interpolation, smp_config_upsampling};

Evidence recognise(const StateDict& state) {
  Evidence evidence = look_for_smp(state, prefix, {"decoder.p5", "decoder.seg_blocks"});
  const StateTensor *head = state.find("segmentation_head.0.weight"),
                    *block = state.find("decoder.seg_blocks.0.block.0.block.0.weight");
  const int depth = smp_depth_of(state, "decoder.p5", smp_depth);
  add_depth(evidence, depth);
  // decoder_merge_policy "cat" leaves four maps side by side.
  add_option(evidence, "cat",
             head && block && head->shape.size() == 4 && block->shape.size() == 4 &&
                 head->shape[1] != block->shape[0]);
  return evidence;
}

// 32 as published. What torch would not take is a seeded network narrower than published: four channels each.
std::int64_t groups_of(std::int64_t channels) {
  constexpr std::int64_t groups = 32;
  return channels % groups == 0 ? groups : std::max<std::int64_t>(1, channels / 4);
}

// Conv3x3GNReLU, and SegmentationBlock: as many of them as doublings, and one where there is none.
Var segmentation_block(Module m, Var x, int doublings) {
  for (int i = 0; i < std::max(1, doublings); ++i) {
    const Module block = m[i]["block"];
    x = conv2d(block[0], x, {.out = m.channels(merged_channels), .kernel = 3});
    x = relu(group_norm(block[1], x, groups_of(x.channels())));
    if (doublings > 0) x = resize_by(m[i].path() + ".resize", x, 2, smp_bilinear);
  }
  return x;
}

Network build(Module m, std::string_view variant, Hyper& hyper) {
  const SmpVariant is = smp_variant(prefix, variant);
  const int depth = static_cast<int>(is.number("depth", smp_depth));
  const auto maps = smp_encoder(m["encoder"], graph_input(m.builder(), 3), is.encoder, depth);
  const Resize doubling = smp_doubling(hyper);
  const Module decoder = m["decoder"];
  const ConvOptions lateral{.out = m.channels(pyramid_channels), .bias = true};

  std::vector<Var> merged;
  Var p = conv2d(decoder["p5"], maps.back(), lateral);
  for (int i = 0; i < 4; ++i) {
    if (i > 0) {
      const Module at = decoder[str_cat("p", 5 - i)];
      p = add(resize_by(at.path() + ".resize", p, 2, doubling),
              conv2d(at["skip_conv"], maps[static_cast<std::size_t>(depth - i)], lateral));
    }
    merged.push_back(segmentation_block(decoder["seg_blocks"][i]["block"], p, 3 - i));
  }
  const Var x = is.has("cat") ? concat("decoder.merge", merged)
                              : add(add(add(merged[0], merged[1]), merged[2]), merged[3]);
  return smp_finish(m, x, maps.back(),
                    {.kernel = 1,
                     .stride = std::int64_t{1} << (depth - 3),
                     .has_upsampling = true,
                     .padding = {.multiple = 1 << depth}},
                    hyper);
}

}  // namespace

extern const Family smp_fpn;
constinit const Family smp_fpn = smp_family<prefix, options>(
    {.name = "smp_fpn",
     .title = "FPN",
     .source = "Kirillov et al. 2019, \"Panoptic Feature Pyramid Networks\"; segmentation_models.pytorch",
     .variants = variants,
     .config = config,
     .recognise = recognise,
     .build = build});

}  // namespace atrous::networks
