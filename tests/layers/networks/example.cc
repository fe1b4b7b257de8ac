// Example: a ResNet under `encoder`, and its last map scored by one 1x1 convolution.
#include "layers/networks/backbones/resnet.h"
#include "layers/networks/family.h"

namespace atrous::networks {

namespace {

constexpr std::string_view prefix = "example_";
constexpr std::string_view variants[] = {"example_resnet18", "example_resnet50"};

constexpr std::string_view stems[] = {"encoder.conv1.weight"};

constexpr PublishedCheckpoint published[] = {{.name = "example_resnet50",
                                              .file = "example_resnet50-0123abcd.pth",
                                              .folder = "https://example.org/models/",
                                              .mebibytes = 90,
                                              .score = 50.0,
                                              .data = "VOC 2012 val"}};

// These three are there in no other family's checkpoints. The depth follows from the number of blocks.
Evidence recognise(const StateDict& state) {
  Evidence evidence = look_for(state, {"encoder.conv1.weight", "encoder.layer4", "score.weight"});
  if (evidence.complete()) evidence.variant = std::string(prefix) + name_of(resnet_of(state, "encoder"), 64);
  return evidence;
}

// torch: self.score(self.encoder(x)["layer4"]), then F.interpolate(size=x.shape[-2:], mode="bilinear")
Network build(Module m, std::string_view variant, Hyper& hyper) {
  const Module encoder = m["encoder"];
  const Resnet net = resnet_in(encoder, variant.substr(prefix.size()));
  const std::int64_t output_stride = hyper.integer("os", 32, {16, 32});

  const Var x = graph_input(m.builder(), 3);
  const ResnetFeatures features = resnet(encoder, x, net, torchvision_spacings(output_stride));
  const Var logits = conv2d(m["score"], features.layers[3], {.out = m.classes(21), .bias = true});
  output("out", logits);

  Network network;
  network.classes = logits.channels();
  network.output_stride = output_stride;
  return network;
}

}  // namespace

extern const Family example;
constinit const Family example{.name = "example",
                               .title = "Example",
                               .source = "nobody 2026; this README",
                               .variants = variants,
                               .published = published,
                               .stems = stems,
                               .head = "score.",
                               .recognise = recognise,
                               .build = build};

}  // namespace atrous::networks
