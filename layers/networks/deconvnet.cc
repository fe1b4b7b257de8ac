// DeconvNet, the mirrored VGG-16 of Noh et al. for Caffe, and Jasonlee1995's port to torch: pooling and fully
// connected layers down to one vector, then unpooling to where the pools found their values, stage by stage.
// model/DeconvNet/DeconvNet_inference_deploy.prototxt; Implementation/model.py.
//
// Unpooling turns rounding into places: where the two largest values of a window differ by less than a kernel
// rounds, another place is taken, and all that is computed from it differs. So the layers down to the last
// pool are precise.
#include <array>

#include "layers/base/error.h"
#include "layers/networks/family.h"

namespace atrous::networks {

namespace {

constexpr std::string_view caffe = "deconvnet-caffe-spec", port = "deconvnet-jasonlee";
constexpr std::string_view variants[] = {port, caffe};

constexpr std::string_view stems[] = {"conv67.0.weight", "fc6-deconv.weight"};

constexpr PublishedCheckpoint published[] = {
    {caffe, "DeconvNet_trainval_inference.caffemodel", by_hand, 961, 69.6, "VOC 2012 test"}};

Evidence recognise(const StateDict& state) {
  const bool is_caffe = state.has("fc6-deconv");
  Evidence evidence = is_caffe ? look_for(state, {"conv1_1", "fc6-deconv", "seg-score-voc"})
                               : look_for(state, {"conv67.0", "deconv67.0", "deconv1.6"});
  if (evidence.complete()) evidence.variant = is_caffe ? caffe : port;
  return evidence;
}

// A convolution and the norm behind it. The norms of the Caffe model have their statistics folded in by its
// authors: what they stored of training, without statistics, cannot be run. Biases are there in spite of
// them.
struct Layers {
  Module conv, norm;
  bool statistics;
};

Var conv_norm(const Layers& m, Var x, const ConvOptions& options) {
  x = conv2d(m.conv, x, options);
  return relu(m.statistics ? batch_norm(m.norm, x) : affine(m.norm, x));
}

Var deconv_norm(const Layers& m, Var x, const ConvTransposeOptions& options) {
  x = conv_transpose2d(m.conv, x, options);
  return relu(m.statistics ? batch_norm(m.norm, x) : affine(m.norm, x));
}

// Layer i of a stage, "conv" or "deconv": conv1_2 and bn1_2, deconv1_2 and debn1_2 of the Caffe model, whose
// counts begin at 1. The port has a sequence for a stage, of a convolution, its norm and a relu each.
Layers layers_of(Module m, bool is_caffe, std::string_view kind, std::size_t stage, std::size_t i) {
  if (!is_caffe) {
    const Module sequence = m[str_cat(kind, stage)];
    const int first = 3 * static_cast<int>(i - 1);
    return {sequence[first], sequence[first + 1], true};
  }
  return {m[str_cat(kind, stage, '_', i)], m[str_cat(kind == "conv" ? "bn" : "debn", stage, '_', i)], false};
}

// Channels of a stage's layers, its third one 0 where there are two.
using Stage = std::array<std::int64_t, 3>;
constexpr std::array<Stage, 5> encoder{
    {{64, 64, 0}, {128, 128, 0}, {256, 256, 256}, {512, 512, 512}, {512, 512, 512}}};
constexpr std::array<Stage, 5> decoder{
    {{64, 64, 0}, {128, 64, 0}, {256, 256, 128}, {512, 512, 256}, {512, 512, 512}}};

Network build(Module m, std::string_view variant, Hyper&) {
  const bool is_caffe = variant == caffe;
  const auto place = [&](std::string_view in_caffe, std::string_view norm, std::string_view sequence, int i) {
    return is_caffe ? Layers{m[in_caffe], m[norm], false} : Layers{m[sequence][i], m[sequence][i + 1], true};
  };
  Var x = graph_input(m.builder(), 3);
  std::vector<Var> before;  // of each pool
  for (std::size_t stage = 1; stage <= encoder.size(); ++stage) {
    for (std::size_t i = 1; i <= 3 && encoder[stage - 1][i - 1] > 0; ++i)
      x = conv_norm(layers_of(m, is_caffe, "conv", stage, i), x,
                    {.out = m.channels(encoder[stage - 1][i - 1]),
                     .kernel = 3,
                     .bias = true,
                     .rounding = Rounding::precise});
    before.push_back(x);
    x = max_pool2d(str_cat("pool", stage), x, {.kernel = 2, .stride = 2});
  }

  const std::int64_t width = m.channels(4096);
  x = conv_norm(place("fc6", "bnfc6", "conv67", 0), x,
                {.out = width, .kernel = 7, .padding = 0, .bias = true});
  x = conv_norm(place("fc7", "bnfc7", "conv67", 3), x, {.out = width, .bias = true});
  x = deconv_norm(place("fc6-deconv", "fc6-deconv-bn", "deconv67", 0), x,
                  {.out = m.channels(512), .kernel = 7, .stride = 1, .bias = true});

  for (std::size_t stage = decoder.size(); stage >= 1; --stage) {
    x = max_unpool2d(str_cat("unpool", stage), x, before[stage - 1]);
    for (std::size_t i = 1; i <= 3 && decoder[stage - 1][i - 1] > 0; ++i)
      x = deconv_norm(layers_of(m, is_caffe, "deconv", stage, i), x,
                      {.out = m.channels(decoder[stage - 1][i - 1]),
                       .kernel = 3,
                       .stride = 1,
                       .padding = 1,
                       .bias = true});
  }
  x = is_caffe ? conv2d(m["seg-score-voc"], x, {.out = m.classes(21), .bias = true})
               : conv_transpose2d(m["deconv1"][6], x,
                                  {.out = m.classes(21), .kernel = 1, .stride = 1, .bias = true});
  output("out", x);

  Network network;
  network.classes = x.channels();
  network.output_stride = 1;
  // The authors show the network boxes around objects, resized to 224 x 224; the port pictures whose shorter
  // side is 250, of which its training takes squares of 224.
  if (is_caffe) network.preparation = caffe_preparation;
  network.preparation.resize = is_caffe
                                   ? ResizeRule{.kind = ResizeRule::Kind::exact, .width = 224, .height = 224}
                                   : ResizeRule{.kind = ResizeRule::Kind::shorter_side, .width = 250};
  network.padding = {.multiple = 32, .beyond = 0, .least = 224};
  return network;
}

}  // namespace

extern const Family deconvnet;
constinit const Family deconvnet{
    .name = "deconvnet",
    .title = "DeconvNet",
    .source = "Noh, Hong & Han 2015, \"Learning Deconvolution Network\"; Jasonlee1995/DeconvNet",
    .variants = variants,
    .published = published,
    .stems = stems,
    .recognise = recognise,
    .build = build};

}  // namespace atrous::networks
