#include "layers/networks/segmentation.h"

#include <algorithm>
#include <array>
#include <optional>
#include <unordered_map>

#include "layers/base/error.h"
#include "layers/graph/builder.h"
#include "layers/networks/backbones/mobilenet_v3.h"
#include "layers/networks/backbones/resnet.h"
#include "layers/networks/segmentation_heads.h"

namespace atrous {

namespace {

enum class BackboneKind { resnet, mobilenet_v3 };
enum class Head { fcn, deeplabv3, lraspp };

BackboneKind recognise_backbone(const Module& m) {
  const Module backbone = m["backbone"];
  if (backbone.has("conv1") && backbone.has("layer1")) return BackboneKind::resnet;
  if (backbone[0].has("0") && backbone[1].has("block")) return BackboneKind::mobilenet_v3;
  const auto& entries = m.builder().state.entries();
  fail(ErrorCode::unsupported,
       "not a segmentation network that atrous knows: no backbone.conv1 (ResNet) and no ",
       "backbone.0.0 (MobileNetV3) among ", entries.size(), " tensors",
       entries.empty() ? std::string() : ", the first being " + entries.front().first);
}

Head recognise_head(const Module& m, BackboneKind backbone) {
  const Module classifier = m["classifier"];
  if (classifier[0].has("convs")) return Head::deeplabv3;
  if (classifier[0].has("weight")) return Head::fcn;
  if (classifier.has("cbr") && backbone == BackboneKind::mobilenet_v3) return Head::lraspp;
  fail(ErrorCode::unsupported, "a ", backbone == BackboneKind::resnet ? "ResNet" : "MobileNetV3",
       " backbone without a head that atrous knows for it: no classifier.0.weight (FCN), no ",
       "classifier.0.convs (DeepLabV3)",
       backbone == BackboneKind::resnet ? "" : " and no classifier.cbr (LR-ASPP)");
}

std::string_view prefix(Head head) {
  return head == Head::fcn ? "fcn_" : head == Head::deeplabv3 ? "deeplabv3_" : "lraspp_";
}

constexpr std::int64_t lraspp_output_stride = 8;  // that of its low-level map

// The map that the head sees, and one from earlier on that the auxiliary head and LR-ASPP see too.
struct Features {
  Var early, last;
  std::int64_t output_stride;  // of last
};

Features build_backbone(BackboneKind kind, Module m, Var x) {
  if (kind == BackboneKind::resnet) {
    const ResnetFeatures f = resnet(m, x);
    return {f.layer3, f.layer4, f.output_stride};
  }
  const MobilenetFeatures f = mobilenet_v3(m, x);
  return {f.low, f.high, f.output_stride};
}

// All disagreements in one message, the most telling kind first.
void check(const StateDict& state, const KeyReport& report, bool aux_was_read) {
  KeyList wrong;
  for (const KeyList* kind : {&report.misshaped, &report.missing, &report.unusable}) wrong.add_all(*kind);
  for (std::size_t i = 0; i < state.size(); ++i) {
    const auto& [name, tensor] = state.entries()[i];
    if (!report.read[i] && (aux_was_read || !name.starts_with("aux_classifier.")))
      wrong.add(name, ": unexpected, ", shape_text(tensor.shape));
  }
  if (!wrong.empty())
    fail(ErrorCode::mismatch, "the checkpoint does not fit the network in ", wrong.count(),
         wrong.count() == 1 ? " key:" : " keys:", wrong.in_lines());
}

}  // namespace

std::vector<std::string> network_prefixes(std::span<const std::string_view> names) {
  constexpr std::array<std::string_view, 2> stems{"backbone.conv1.weight", "backbone.0.0.weight"};
  constexpr std::string_view head = "classifier.";
  const auto at_component = [](std::string_view name, std::size_t at) {
    return at == 0 || name[at - 1] == '.';
  };
  std::vector<std::string> prefixes;  // of stems, in the order of the names
  for (const std::string_view name : names)
    for (const std::string_view stem : stems)
      if (name.ends_with(stem) && at_component(name, name.size() - stem.size()))
        prefixes.emplace_back(name.substr(0, name.size() - stem.size()));
  std::unordered_map<std::string_view, bool> has_head;
  for (const std::string& prefix : prefixes) has_head.emplace(prefix, false);
  for (const std::string_view name : has_head.empty() ? std::span<const std::string_view>() : names)
    for (std::size_t at = name.find(head); at != name.npos; at = name.find(head, at + head.size()))
      if (const auto found = has_head.find(name.substr(0, at));
          at_component(name, at) && found != has_head.end())
        found->second = true;
  std::vector<std::string> out;
  for (const std::string& prefix : prefixes)
    if (std::exchange(has_head[prefix], false)) out.push_back(prefix);
  return out;
}

Network build_network(const StateDict& state, const NetworkOptions& options) try {
  Builder builder(state);
  const Module m(builder);
  const BackboneKind backbone = recognise_backbone(m);
  const Head head = recognise_head(m, backbone);

  Network network;
  network.architecture = text(prefix(head), backbone == BackboneKind::resnet ? resnet_name(m["backbone"])
                                                                             : mobilenet_name(m["backbone"]));
  network.has_aux = m.has("aux_classifier");
  if (options.aux && !network.has_aux)
    fail(ErrorCode::unsupported, network.architecture,
         ": this checkpoint has no auxiliary head (no aux_classifier keys)");

  const Features features = build_backbone(backbone, m["backbone"], graph_input(builder, 3));
  const Module classifier = m["classifier"];
  const Var out = head == Head::fcn         ? fcn_head(classifier, features.last)
                  : head == Head::deeplabv3 ? deeplab_head(classifier, features.last)
                                            : lraspp_head(classifier, features.early, features.last);
  builder.graph.outputs.emplace_back("out", out.id);
  std::optional<Var> aux;
  if (options.aux) aux = fcn_head(m["aux_classifier"], features.early);
  if (aux) builder.graph.outputs.emplace_back("aux", aux->id);

  check(state, builder.report, options.aux);
  if (aux && aux->channels() != out.channels())
    fail(ErrorCode::mismatch, "the auxiliary head has ", aux->channels(), " classes, the head ",
         out.channels());
  network.classes = out.channels();
  if (head == Head::deeplabv3) network.aspp_rates.assign(aspp_rates.begin(), aspp_rates.end());
  network.backbone_stride = features.output_stride;
  network.output_stride = head == Head::lraspp ? lraspp_output_stride : features.output_stride;
  network.graph = std::move(builder.graph);
  return network;
} catch (...) {
  rethrow_as_error();
}

}  // namespace atrous
