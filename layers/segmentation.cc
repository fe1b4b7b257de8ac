#include "layers/segmentation.h"

#include "layers/error.h"
#include "layers/module.h"
#include "layers/resnet.h"
#include "layers/segmentation_heads.h"

namespace atrous {

namespace {

enum class Head { fcn, deeplabv3 };

Head recognise(const Module& m) {
  if (m["backbone"].has("conv1") && m["backbone"].has("layer1")) {
    if (m["classifier"][0].has("convs")) return Head::deeplabv3;
    if (m["classifier"][0].has("weight")) return Head::fcn;
    fail(ErrorCode::unsupported,
         "a ResNet backbone without a head that atrous knows: no classifier.0.weight (FCN) and no ",
         "classifier.0.convs (DeepLabV3)");
  }
  if (m["classifier"].has("cbr"))
    fail(ErrorCode::unsupported, "this looks like LR-ASPP on MobileNetV3, which atrous does not run yet");
  if (m["backbone"].has("0"))
    fail(ErrorCode::unsupported, "this looks like a MobileNetV3 backbone, which atrous does not run yet");
  const auto& entries = m.builder().state.entries();
  fail(ErrorCode::unsupported, "not a segmentation network that atrous knows: no backbone.conv1 among ",
       entries.size(), " tensors",
       entries.empty() ? std::string() : ", the first being " + entries.front().first);
}

// Every disagreement in one message, the most telling kind first.
void check(const StateDict& state, const KeyReport& report, bool aux_was_read) {
  std::vector<std::string> lines;
  for (const auto* kind : {&report.misshaped, &report.missing, &report.unusable})
    lines.insert(lines.end(), kind->begin(), kind->end());
  for (const auto& [name, tensor] : state.entries())
    if (!report.read.contains(name) && (aux_was_read || !name.starts_with("aux_classifier.")))
      lines.push_back(text(name, ": unexpected, ", shape_text(tensor.shape)));
  if (lines.empty()) return;
  std::string message = text("the checkpoint does not fit the network in ", lines.size(),
                             lines.size() == 1 ? " key:" : " keys:");
  for (const std::string& line : lines) message += "\n  " + line;
  fail(ErrorCode::mismatch, message);
}

}  // namespace

Network build_network(const StateDict& state, const NetworkOptions& options) {
  Builder builder{state, {}, {}};
  const Module m(builder);
  const Head head = recognise(m);

  Network network;
  network.architecture = (head == Head::fcn ? "fcn_" : "deeplabv3_") + resnet_name(m["backbone"]);
  network.has_aux = m.has("aux_classifier");
  if (options.aux && !network.has_aux)
    fail(ErrorCode::unsupported, network.architecture,
         ": this checkpoint has no auxiliary head (no aux_classifier keys)");

  const Var x = graph_input(builder, 3);
  const ResnetFeatures features = resnet(m["backbone"], x);
  const Var out = head == Head::fcn ? fcn_head(m["classifier"], features.layer4)
                                    : deeplab_head(m["classifier"], features.layer4);
  builder.graph.outputs.emplace_back("out", out.id);
  if (options.aux)
    builder.graph.outputs.emplace_back("aux", fcn_head(m["aux_classifier"], features.layer3).id);

  check(state, builder.report, options.aux);
  network.classes = out.channels();
  network.output_stride = features.output_stride;
  network.graph = std::move(builder.graph);
  return network;
}

}  // namespace atrous
