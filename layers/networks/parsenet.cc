// ParseNet, Liu et al.'s for Caffe: VGG-16 with dilated convolutions in place of its last strides, and the
// mean of the whole picture beside every pixel, both brought to length one. Written after a network derived
// from theirs, whose prototxt was there to read, with the names that theirs has by all that is known.
#include "layers/networks/backbones/vgg.h"
#include "layers/networks/family.h"

namespace atrous::networks {

namespace {

constexpr std::string_view variants[] = {"parsenet-spec"};

constexpr std::string_view stems[] = {"conv1_1.weight"};

Evidence recognise(const StateDict& state) {
  Evidence evidence = look_for(state, {"conv1_1", "fc7_norm", "pool6_1x1_norm"});
  if (evidence.complete()) evidence.variant = variants[0];
  return evidence;
}

Var score(Module m, Var x) { return conv2d(m, x, {.out = m.classes(21), .bias = true}); }

// Section 3.2: the scores of the normalised map and of the normalised mean are added ("late fusion"), which
// is the same as one score of both, concatenated. The map stays at an eighth of the picture.
Network build(Module m, std::string_view, Hyper&) {
  const Var picture = graph_input(m.builder(), 3);
  Var x = vgg16(m, picture, {.dilated = true}).pools[4];
  const std::int64_t width = m.channels(1024);
  x = relu(conv2d(m["fc6"], x, {.out = width, .kernel = 3, .dilation = 12, .bias = true}));
  x = relu(conv2d(m["fc7"], x, {.out = width, .bias = true}));

  const Var mean = adaptive_avg_pool2d("pool6_1x1", x, {});
  const Var of_mean = score(m["pool6_1x1_norm_score"], l2_norm(m["pool6_1x1_norm"], mean));
  const Var of_map = score(m["fc7_norm_score"], l2_norm(m["fc7_norm"], x));
  x = add(of_map, resize_like("pool6_1x1_norm_upscore", of_mean, of_map, {}));  // of one pixel: repeats it

  x = conv_transpose2d(m["upscore"], x,
                       {.kernel = 16, .stride = 8, .padding = 4, .bias = true, .depthwise = true});
  x = crop_like("upscore.crop", x, picture, {});
  output("out", x);

  Network network;
  network.classes = x.channels();
  network.output_stride = 1;
  network.preparation = caffe_preparation;
  return network;
}

}  // namespace

extern const Family parsenet;
constinit const Family parsenet{.name = "parsenet",
                                .title = "ParseNet",
                                .source = "Liu, Rabinovich & Berg 2015, \"ParseNet\"; weiliu89/caffe",
                                .variants = variants,
                                .stems = stems,
                                .head = "pool6_1x1_norm.",
                                .recognise = recognise,
                                .build = build};

}  // namespace atrous::networks
