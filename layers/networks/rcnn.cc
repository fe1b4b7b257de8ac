// Faster R-CNN and Mask R-CNN, as torchvision builds them: a ResNet, a feature pyramid, a region proposal
// network, and heads for the regions. torchvision/models/detection, 0.14.
#include <array>
#include <memory>
#include <utility>

#include "layers/networks/backbones/resnet.h"
#include "layers/networks/family.h"

namespace atrous::networks {

namespace {

constexpr std::string_view fpn_suffix = "_fpn", v2_suffix = "_v2",
                           rcnn_folder = "https://download.pytorch.org/models/";
constexpr std::int64_t coco_categories = 91, anchors_a_place = 3;

// The body's name in "maskrcnn_resnet50_fpn_v2" behind `prefix`; empty where the name is another.
std::string_view body_in(std::string_view prefix, std::string_view variant) {
  if (!variant.starts_with(prefix)) return {};
  variant.remove_prefix(prefix.size());
  if (variant.ends_with(v2_suffix)) variant.remove_suffix(v2_suffix.size());
  if (!variant.ends_with(fpn_suffix)) return {};
  variant.remove_suffix(fpn_suffix.size());
  return variant;
}

bool is_rcnn(std::string_view prefix, std::string_view variant) {
  return resnet_by_name(body_in(prefix, variant)).has_value();
}

// What is to be built where no key decides.
struct Rcnn {
  bool second;  // torchvision's v2
  bool masks;
};

// A convolution, by itself with a bias (v1) or without one and with a batch norm behind it (v2).
Var convolution(const Module& m, Var x, ConvOptions options, bool norm) {
  options.bias = !m.has("1", norm);
  x = conv2d(m["0"], x, options);
  return options.bias ? x : batch_norm(m["1"], x);
}

// Four maps of `width` channels out of the body's four: each 1x1, plus the next coarser one enlarged; then
// 3x3. Lin et al. 2017, figure 3.
std::array<Var, pyramid_maps> pyramid(const Module& m, const std::array<Var, 4>& body, std::int64_t width,
                                      bool norm) {
  const auto block = [&](const char* blocks, int i, Var x, std::int64_t kernel) {
    const Module numbered = m[blocks][i];
    const ConvOptions options{.out = width, .kernel = kernel, .bias = true};
    return numbered.has("0", true) ? convolution(numbered, x, options, norm) : conv2d(numbered, x, options);
  };
  std::array<Var, pyramid_maps> maps = body;
  Var last = block("inner_blocks", pyramid_maps - 1, body.back(), 1);
  for (int i = pyramid_maps - 1;; --i) {
    maps[static_cast<std::size_t>(i)] = block("layer_blocks", i, last, 3);
    if (i == 0) return maps;
    const Var lateral = block("inner_blocks", i - 1, body[static_cast<std::size_t>(i) - 1], 1);
    const Var enlarged =
        resize_like(str_cat(m.path(), ".top_down.", i - 1), last, lateral, {.mode = ResizeMode::nearest});
    last = add(lateral, enlarged);
  }
}

// The same head on every map; the coarsest is every second value of the last.
void propose(const Module& m, const std::array<Var, pyramid_maps>& maps, std::int64_t width, bool second) {
  std::vector<Var> all(maps.begin(), maps.end());
  all.push_back(max_pool2d("backbone.fpn.extra_blocks", maps.back(), {.kernel = 1, .stride = 2}));
  const Module hidden = m["conv"];
  for (int i = 0; i < proposal_maps; ++i) {
    Var x = all[static_cast<std::size_t>(i)];
    for (int layer = 0; layer == 0 || hidden.has(std::to_string(layer), second && layer < 2); ++layer) {
      const Module numbered = hidden.has("0", true) ? hidden[layer][0] : hidden;
      x = relu(conv2d(numbered, x, {.out = width, .kernel = 3, .bias = true}));
    }
    const Var objectness = conv2d(m["cls_logits"], x, {.out = anchors_a_place, .bias = true}),
              deltas = conv2d(m["bbox_pred"], x, {.out = 4 * anchors_a_place, .bias = true});
    output(objectness_name(i), objectness);
    output(deltas_name(i), deltas);
    KeyReport& report = m.builder().report;
    if (i == 0 && (objectness.channels() != anchors_a_place || deltas.channels() != 4 * anchors_a_place))
      report.misshaped.add(m.path(), ": expected ", anchors_a_place, " anchors a place and ",
                           4 * anchors_a_place, " regressions, as one size a map makes them, found ",
                           objectness.channels(), " and ", deltas.channels());
  }
}

// A torch.nn.Linear of flattened regions, whose inputs go channel by channel, for regions whose values go
// cell by cell.
Var flattened_linear(const Module& m, Var x, std::int64_t cells, std::int64_t out) {
  const Var y = linear(m, x, {.out = out});
  auto& weight = std::get<Conv2d>(x.builder->graph.nodes.back().layer).weight;
  if (!weight.data) return y;
  const std::int64_t rows = y.channels(), columns = x.channels(), channels = columns / cells;
  const auto turned = std::make_shared<std::vector<float>>(static_cast<std::size_t>(rows * columns));
  for (std::int64_t row = 0; row < rows; ++row) {
    const float* from = weight.data.get() + row * columns;
    float* to = turned->data() + row * columns;
    for (std::int64_t cell = 0; cell < cells; ++cell)
      for (std::int64_t c = 0; c < channels; ++c) *to++ = from[c * cells + cell];
  }
  weight.data = Weights(turned, turned->data());
  return y;
}

// 3x3 convolutions, each with a relu, as many as there are modules 0, 1, ...: `published` of them.
Var convolutions(const Module& m, Var x, std::int64_t width, int published, bool norm) {
  for (int i = 0; m.has(str_cat(i, ".0"), i < published); ++i)
    x = relu(convolution(m[i], x, {.out = width, .kernel = 3}, norm));
  return x;
}

// A thousandth of a pixel decides which regions are kept, and masks follow from them. Behind the batch norms
// of v2's heads the rounding of body and pyramid shows most.
constexpr Rounding usual_rounding = Rounding::close;
constexpr Rounding trunk_rounding(bool second) { return second ? Rounding::precise : usual_rounding; }

Network build(Module m, std::string_view body, Rcnn published, Hyper& hyper) {
  Builder& builder = m.builder();
  const std::int64_t width = m.channels(256);
  TwoStage two;
  // Where norms are frozen the file does not say with which eps: torchvision's published ones have none.
  const bool counted = m["backbone.body.bn1"].has("num_batches_tracked", published.second),
             second = m["backbone.fpn.inner_blocks.0.1"].has("running_mean", published.second);
  builder.norms = {.eps = 1e-5, .counted = counted};
  if (hyper.word("eps", counted ? "1e-5" : "0", {"0", "1e-5"}) == "0") builder.norms.eps = 0;
  two.sides.shorter = hyper.between("min_size", two.sides.shorter, 32, 8192);
  two.sides.longer = hyper.between("max_size", two.sides.longer, 32, 8192);
  two.sides.in_double = hyper.word("resize", "0.14", {"0.14", "0.18"}) == "0.18";

  const Module body_module = m["backbone.body"];
  builder.rounding = trunk_rounding(second);
  const ResnetFeatures features =
      resnet(body_module, graph_input(builder, 3), resnet_in(body_module, body), torchvision_spacings(32));
  builder.norms = {.eps = 1e-5, .counted = true};
  const auto maps = pyramid(m["backbone.fpn"], features.layers, width, second);
  builder.rounding = usual_rounding;
  for (int i = 0; i < pyramid_maps; ++i) output(map_name(i), maps[static_cast<std::size_t>(i)]);
  propose(m["rpn.head"], maps, width, second);
  two.map_channels = maps.front().channels();
  Graph trunk = std::exchange(builder.graph, {});

  const Module heads = m["roi_heads"], box = heads["box_head"], predictor = heads["box_predictor"];
  const std::int64_t cells = two.box_cells * two.box_cells, hidden = m.channels(1024);
  Var pooled = graph_input(builder, two.map_channels);
  if (box.has("5", second)) {
    pooled = convolutions(box, pooled, width, 4, true);
    output("maps", pooled);
    const std::int64_t channels = pooled.channels();
    two.box_maps = std::exchange(builder.graph, {});
    builder.rounding = Rounding::precise;
    pooled = relu(flattened_linear(box["5"], graph_input(builder, cells * channels), cells, hidden));
  } else {
    builder.graph = {};
    pooled =
        relu(flattened_linear(box["fc6"], graph_input(builder, cells * two.map_channels), cells, hidden));
    pooled = relu(linear(box["fc7"], pooled, {.out = hidden}));
  }
  const std::int64_t categories = m.classes(coco_categories);
  const Var classes = linear(predictor["cls_score"], pooled, {.out = categories}),
            deltas = linear(predictor["bbox_pred"], pooled, {.out = 4 * categories});
  output("classes", classes);
  output("deltas", deltas);
  const std::int64_t found = classes.channels();
  if (found == 1)
    builder.report.misshaped.add(
        predictor.path(), ".cls_score: expected the background and at least one class ", "more, found 1");
  if (deltas.channels() != 4 * found)
    builder.report.misshaped.add(predictor.path(), ".bbox_pred: expected 4 regressions for each of ", found,
                                 " classes, found ", deltas.channels());
  two.box_head = std::exchange(builder.graph, {});

  builder.rounding = usual_rounding;
  if (published.masks) {
    const Module mask = heads["mask_head"], last = heads["mask_predictor"];
    Var x = graph_input(builder, two.map_channels);
    if (mask.has("0", true))
      x = convolutions(mask, x, width, 4, second);
    else
      for (int i = 1; i == 1 || mask.has(str_cat("mask_fcn", i)); ++i)
        x = relu(conv2d(mask[str_cat("mask_fcn", i)], x, {.out = width, .kernel = 3, .bias = true}));
    x = relu(conv_transpose2d(last["conv5_mask"], x, {.out = width, .bias = true}));
    x = conv2d(last["mask_fcn_logits"], x, {.out = categories, .bias = true});
    output("masks", x);
    if (x.channels() != found)
      builder.report.misshaped.add(last.path(), ".mask_fcn_logits: expected the ", found,
                                   " classes of the boxes, found ", x.channels());
    two.mask_head = std::exchange(builder.graph, {});
  }
  builder.graph = std::move(trunk);
  return {.graph = {},
          .architecture = {},
          .classes = found,
          .output_stride = 4,
          .preparation = {.resize = {.kind = ResizeRule::Kind::none}},
          .padding = {.multiple = 32},
          .choices = {},
          .two_stage = std::move(two)};
}

// The variant's name: the body, and v2 by the pyramid's batch norms.
Evidence recognise_rcnn(const StateDict& state, std::string_view prefix, bool masks) {
  if (state.has("roi_heads.keypoint_predictor")) return {};  // foreign_networks.cc has its name
  Evidence evidence =
      look_for(state, {"backbone.body.conv1", "backbone.body.layer1", "backbone.fpn.inner_blocks",
                       "rpn.head.cls_logits", "roi_heads.box_predictor.cls_score"});
  if (masks) {
    const Evidence head = look_for(state, {"roi_heads.mask_predictor.conv5_mask"});
    evidence.found.insert(evidence.found.end(), head.found.begin(), head.found.end());
    evidence.missing.insert(evidence.missing.end(), head.missing.begin(), head.missing.end());
  }
  if (evidence.complete())
    evidence.variant =
        str_cat(prefix, resnet_name(state, "backbone.body"), fpn_suffix,
                state.has("backbone.fpn.inner_blocks.0.1.running_mean") ? v2_suffix : std::string_view());
  return evidence;
}

constexpr std::string_view rcnn_stems[] = {"backbone.body.conv1.weight"}, rcnn_head = "rpn.head.";

constexpr std::string_view mask_prefix = "maskrcnn_", faster_prefix = "fasterrcnn_";

constexpr std::string_view mask_variants[] = {"maskrcnn_resnet50_fpn",  "maskrcnn_resnet50_fpn_v2",
                                              "maskrcnn_resnet18_fpn",  "maskrcnn_resnet34_fpn",
                                              "maskrcnn_resnet101_fpn", "maskrcnn_resnet152_fpn"},
                           faster_variants[] = {"fasterrcnn_resnet50_fpn",  "fasterrcnn_resnet50_fpn_v2",
                                                "fasterrcnn_resnet18_fpn",  "fasterrcnn_resnet34_fpn",
                                                "fasterrcnn_resnet101_fpn", "fasterrcnn_resnet152_fpn"};

constexpr std::string_view mask_data = "COCO val2017, AP of masks", box_data = "COCO val2017, AP of boxes";

constexpr PublishedCheckpoint
    mask_published[] = {{"maskrcnn_resnet50_fpn", "maskrcnn_resnet50_fpn_coco-bf2d0c1e.pth", rcnn_folder, 170,
                         34.6, mask_data},
                        {"maskrcnn_resnet50_fpn_v2", "maskrcnn_resnet50_fpn_v2_coco-73cbd019.pth",
                         rcnn_folder, 177, 41.8, mask_data}},
    faster_published[] = {{"fasterrcnn_resnet50_fpn", "fasterrcnn_resnet50_fpn_coco-258fb6c6.pth",
                           rcnn_folder, 160, 37.0, box_data},
                          {"fasterrcnn_resnet50_fpn_v2", "fasterrcnn_resnet50_fpn_v2_coco-dd69338a.pth",
                           rcnn_folder, 167, 46.7, box_data}};

}  // namespace

extern const Family maskrcnn;
constinit const Family maskrcnn{
    .name = "maskrcnn",
    .title = "Mask R-CNN",
    .source = "He, Gkioxari, Dollár & Girshick 2017, \"Mask R-CNN\"; torchvision",
    .task = Task::instances,
    .variants = mask_variants,
    .is_variant = [](std::string_view name) { return is_rcnn(mask_prefix, name); },
    .published = mask_published,
    .stems = rcnn_stems,
    .head = rcnn_head,
    .recognise = [](const StateDict& state) { return recognise_rcnn(state, mask_prefix, true); },
    .build =
        [](Module m, std::string_view variant, Hyper& hyper) {
          return build(m, body_in(mask_prefix, variant), {variant.ends_with(v2_suffix), true}, hyper);
        }};

extern const Family fasterrcnn;
constinit const Family fasterrcnn{
    .name = "fasterrcnn",
    .title = "Faster R-CNN",
    .source = "Ren, He, Girshick & Sun 2015, \"Faster R-CNN\"; torchvision",
    .task = Task::instances,
    .variants = faster_variants,
    .is_variant = [](std::string_view name) { return is_rcnn(faster_prefix, name); },
    .published = faster_published,
    .stems = rcnn_stems,
    .head = rcnn_head,
    .recognise = [](const StateDict& state) { return recognise_rcnn(state, faster_prefix, false); },
    .build =
        [](Module m, std::string_view variant, Hyper& hyper) {
          return build(m, body_in(faster_prefix, variant), {variant.ends_with(v2_suffix), false}, hyper);
        }};

}  // namespace atrous::networks
