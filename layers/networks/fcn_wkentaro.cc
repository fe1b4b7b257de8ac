// FCN on VGG-16, as wkentaro's pytorch-fcn builds it after the authors' Caffe models, and those: scores of
// the last map, and of earlier ones, grow by learnt transposed convolutions.
// torchfcn/models/fcn{32s,16s,8s}.py.
//
// The Caffe models call their layers as the port does, but for those of the first generation, which DeconvNet
// was published with: its names are in place_in_first_caffe(), and two of its transposed convolutions have
// biases.
#include <array>
#include <utility>

#include "layers/networks/backbones/vgg.h"
#include "layers/networks/family.h"

namespace atrous::networks {

namespace {

constexpr std::string_view fcn32s = "fcn32s-wkentaro", fcn16s = "fcn16s-wkentaro", fcn8s = "fcn8s-wkentaro",
                           at_once = "fcn8s-atonce-wkentaro";
constexpr std::string_view variants[] = {fcn8s, at_once, fcn16s, fcn32s};

constexpr std::string_view stems[] = {"conv1_1.weight"};

constexpr std::string_view data = "PASCAL VOC 2011, seg11valid";
constexpr PublishedCheckpoint published[] = {
    {fcn8s, "fcn8s_from_caffe.pth", by_hand, 513, 65.5, data},
    {at_once, "fcn8s-atonce_from_caffe.pth", by_hand, 513, 65.4, data},
    {fcn16s, "fcn16s_from_caffe.pth", by_hand, 514, 65.0, data},
    {fcn32s, "fcn32s_from_caffe.pth", by_hand, 519, 63.6, data}};

constexpr ArchName arch_names[] = {{"FCN8sAtOnce", at_once}, {"FCN8s", fcn8s}};

// Of FCN-8s, whose port is not told apart from the at-once network by keys.
std::string place_in_first_caffe(std::string_view place) {
  constexpr std::array<std::pair<std::string_view, std::string_view>, 6> names{
      {{"score_fr", "score-fr"},
       {"upscore2", "score2"},
       {"score_pool4", "score-pool4"},
       {"upscore_pool4", "score4"},
       {"score_pool3", "score-pool3"},
       {"upscore8", "upsample"}}};
  for (const auto& [ours, theirs] : names)
    if (ours == place) return std::string(theirs);
  return std::string(place);
}

bool is_first_caffe(const StateDict& state) { return state.has("score-fr"); }

Evidence recognise(const StateDict& state) {
  if (is_first_caffe(state)) {
    Evidence first =
        look_for(state, {"conv1_1", "fc6", "score-fr", "score-pool4", "score-pool3", "upsample"});
    first.variant = fcn8s;
    return first;
  }
  Evidence evidence = look_for(state, {"conv1_1", "fc6", "score_fr"});
  if (state.has("upscore8")) {
    evidence.found.emplace_back("upscore8");
    evidence.variant = state.has("scale_pool4") ? at_once : fcn8s;
    if (evidence.variant == fcn8s) evidence.same_keys = {std::string(at_once)};
  } else if (state.has("upscore16")) {
    evidence.found.emplace_back("upscore16");
    evidence.variant = fcn16s;
  } else {
    (state.has("upscore") ? evidence.found : evidence.missing).emplace_back("upscore");
    evidence.variant = fcn32s;
  }
  return evidence;
}

// A 1x1 convolution to the classes.
Var score(Module m, Var x) { return conv2d(m, x, {.out = m.classes(21), .bias = true}); }

// A transposed convolution of a square kernel twice its stride, from all classes to all classes. Published
// weights are diagonal: bilinear interpolation, class by class.
Var grow(Module m, Var x, std::int64_t stride) {
  return conv_transpose2d(
      m, x, {.out = m.classes(21), .kernel = 2 * stride, .stride = stride, .bias = m.size("bias", 0, 0) > 0});
}

// A map scaled down in front of its scores: by the factor that the Caffe model has as a layer, and that the
// port has in its code.
Var scaled_down(Module m, std::string_view layer, Var x, float factor) {
  if (m.has(layer))
    if (const Parameter weight = m[layer].parameter("weight", {1}); weight.data)
      factor = weight.data.get()[0];
  return scale(x, factor);
}

// Adds an earlier map's scores, cut to the size of x. The offsets are constants, as in the Caffe models.
Var fuse(Var x, Module scores, Var early, std::int64_t offset) {
  const Var scored = score(scores, early);
  return add(x, crop_like(scores.path() + ".crop", scored, x, {.top = offset, .left = offset}));
}

// The first convolution pads by 100, so that the 7x7 convolution of fc6, which does not pad, has something to
// see in the smallest picture; what that adds around the scores is cropped off at the end. (Dropout behind
// fc6 and fc7 does nothing in inference.)
Network build(Module m, std::string_view variant, Hyper&) {
  if (is_first_caffe(m.builder().state)) m.builder().place_in_file = place_in_first_caffe;
  const Var picture = graph_input(m.builder(), 3);
  const VggFeatures vgg = vgg16(m, picture, {.first_padding = 100});
  const Var pool3 = vgg.pools[2], pool4 = vgg.pools[3], pool5 = vgg.pools[4];
  const std::int64_t width = m.channels(4096);
  Var x = relu(conv2d(m["fc6"], pool5, {.out = width, .kernel = 7, .padding = 0, .bias = true}));
  x = relu(conv2d(m["fc7"], x, {.out = width, .bias = true}));
  x = score(m["score_fr"], x);

  std::int64_t offset = 19;
  if (variant == fcn32s) {
    x = grow(m["upscore"], x, 32);
  } else if (variant == fcn16s) {
    x = fuse(grow(m["upscore2"], x, 2), m["score_pool4"], pool4, 5);
    x = grow(m["upscore16"], x, 16);
    offset = 27;
  } else {
    // At once: trained in one go instead of stage by stage, with the earlier maps scaled down in front of
    // their scores, so that the biases are not.
    const bool scaled = variant == at_once;
    x = fuse(grow(m["upscore2"], x, 2), m["score_pool4"],
             scaled ? scaled_down(m, "scale_pool4", pool4, 0.01f) : pool4, 5);
    x = fuse(grow(m["upscore_pool4"], x, 2), m["score_pool3"],
             scaled ? scaled_down(m, "scale_pool3", pool3, 0.0001f) : pool3, 9);
    x = grow(m["upscore8"], x, 8);
    offset = 31;
  }
  x = crop_like("upscore.crop", x, picture, {.top = offset, .left = offset});
  output("out", x);

  Network network;
  network.classes = x.channels();
  network.output_stride = 1;
  network.preparation = caffe_preparation;
  return network;
}

}  // namespace

extern const Family fcn_wkentaro;
constinit const Family fcn_wkentaro{
    .name = "fcn-wkentaro",
    .title = "FCN on VGG-16",
    .source = "Long, Shelhamer & Darrell 2015, \"Fully Convolutional Networks\"; wkentaro/pytorch-fcn",
    .variants = variants,
    .published = published,
    .arch_names = arch_names,
    .stems = stems,
    .head = "score_fr.",
    .recognise = recognise,
    .build = build};

}  // namespace atrous::networks
