// PSPNet, as hszhao's semseg builds it: pooling pyramids on a dilated ResNet with a deep stem.
// model/pspnet.py, model/resnet.py.
#include "layers/base/error.h"
#include "layers/networks/backbones/resnet.h"
#include "layers/networks/deeplab.h"
#include "layers/networks/torchvision.h"

namespace atrous::networks {

namespace {

constexpr std::string_view prefix = "pspnet-semseg-";
constexpr std::string_view variants[] = {"pspnet-semseg-resnet50", "pspnet-semseg-resnet101",
                                         "pspnet-semseg-resnet152"};

constexpr std::string_view stems[] = {"layer0.0.weight"};

constexpr PublishedCheckpoint published[] = {
    {"pspnet-semseg-resnet50", "train_epoch_100.pth", by_hand, 188, 41.9, "ADE20K val"},
    {"pspnet-semseg-resnet101", "train_epoch_50.pth", by_hand, 260, 79.1, "VOC 2012 val"}};

Evidence recognise(const StateDict& state) {
  Evidence evidence = look_for(state, {"layer0.0", "ppm.features", "cls.4"});
  if (evidence.complete()) evidence.variant = text(prefix, resnet_name(state, "", "layer0.0.weight"));
  return evidence;
}

bool is_variant(std::string_view name) {
  if (!name.starts_with(prefix)) return false;
  const auto net = resnet_by_name(name.substr(prefix.size()));
  return net && net->bottlenecks;
}

// Zhao et al. 2017, "Pyramid Scene Parsing Network", section 3.2: means over grids of 1, 2, 3 and 6 cells a
// side, each reduced to a quarter of the channels and grown to the map's size, beside the map. Keys
// features.0..3, of which 0 is the pool, 1 the convolution, 2 the norm.
Var pyramid(Module m, Var x, const std::vector<std::int64_t>& bins) {
  const Resize grow{.mode = ResizeMode::bilinear, .align_corners = true};
  const std::int64_t reduced = x.channels() / static_cast<std::int64_t>(bins.size());
  std::vector<Var> parts{x};
  for (std::size_t i = 0; i < bins.size(); ++i) {
    const Module level = m["features"][static_cast<int>(i)];
    Var cells = adaptive_avg_pool2d(level[0].path(), x, {.out_h = bins[i], .out_w = bins[i]});
    cells = conv_norm_relu({level[1], level[2]}, cells, {.out = reduced});
    parts.push_back(resize_like(level.path() + ".resize", cells, x, grow));
  }
  return concat(m.path() + ".concat", parts);
}

// Unlike torchvision's dilated stages, the first block of a stage has the stage's own dilation.
constexpr Spacings spacings{{{1, 1, 1}, {2, 1, 1}, {1, 2, 2}, {1, 4, 4}}};

Network build(Module m, std::string_view variant, Hyper& hyper) {
  const Var picture = graph_input(m.builder(), 3);
  const Module stem = m["layer0"];
  const ResnetFeatures features = resnet_behind(m, deep_stem(stem, stem[7], picture),
                                                resnet_in(m, variant.substr(prefix.size())), spacings);
  Var x = pyramid(m["ppm"], features.layers[3], hyper.integers("bins", {1, 2, 3, 6}));
  const Module cls = m["cls"];
  x = conv_norm_relu({cls[0], cls[1]}, x, {.out = m.channels(512), .kernel = 3});
  x = conv2d(cls[4], x, {.out = m.classes(torchvision_classes), .bias = true});
  output("out", x);
  if (m.builder().aux) output("aux", fcn_head(m["aux"], features.layers[2]));
  // zoom_factor: upstream's network grows its logits to the picture's size, 8, or leaves that to the program
  // around it, 1, which grows them in the same way. Here they leave at an eighth, whichever it is.
  hyper.integer("zoom", 8, {8, 1});

  Network network;
  network.classes = x.channels();
  network.preparation.resize = {.kind = ResizeRule::Kind::none};
  network.padding = {.multiple = 8, .beyond = 1};  // upstream asserts sizes of 8k + 1
  network.answer.align_corners = true;
  return network;
}

}  // namespace

extern const Family pspnet_semseg;
constinit const Family pspnet_semseg{
    .name = "pspnet-semseg",
    .title = "PSPNet",
    .source = "Zhao et al. 2017, \"Pyramid Scene Parsing Network\"; hszhao/semseg",
    .variants = variants,
    .is_variant = is_variant,
    .published = published,
    .auxiliary = "aux",
    .stems = stems,
    .head = "ppm.features.",
    .recognise = recognise,
    .build = build};

}  // namespace atrous::networks
