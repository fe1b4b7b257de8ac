#include "layers/networks/vainf.h"

#include "layers/base/error.h"
#include "layers/networks/backbones/mobilenet_v2.h"
#include "layers/networks/backbones/resnet.h"

namespace atrous::networks {

namespace {

constexpr std::string_view mobilenet = "mobilenet";
constexpr std::int64_t cityscapes_classes = 19;

}  // namespace

VainfFeatures vainf_backbone(Module m, Var x, std::string_view name, std::int64_t output_stride) {
  if (name == mobilenet) {
    const MobilenetV2Features f = mobilenet_v2(m, x, MobilenetV2::vainf, output_stride);
    return {f.low, f.last};
  }
  const ResnetFeatures f = resnet(m, x, resnet_in(m, name), torchvision_spacings(output_stride));
  return {f.layers[0], f.layers[3]};
}

bool is_vainf_variant(std::string_view prefix, std::string_view variant) {
  if (variant.ends_with(vainf_separable)) variant.remove_suffix(vainf_separable.size());
  return is_deeplab_variant(variant, prefix, mobilenet);
}

Evidence look_for_vainf(const StateDict& state, std::string_view prefix,
                        std::initializer_list<std::string_view> head, std::string_view separable) {
  Evidence evidence = look_for(state, head);
  const bool is_mobilenet = state.has("backbone.high_level_features");
  const Evidence backbone =
      look_for(state, {is_mobilenet ? "backbone.low_level_features" : "backbone.layer1"});
  evidence.found.insert(evidence.found.end(), backbone.found.begin(), backbone.found.end());
  evidence.missing.insert(evidence.missing.end(), backbone.missing.begin(), backbone.missing.end());
  if (!evidence.complete()) return evidence;
  const std::string name = is_mobilenet ? std::string(mobilenet) : resnet_name(state, "backbone");
  const std::string_view kind = state.has(separable) ? vainf_separable : "";
  evidence.variant = str_cat(prefix, name, "-os16", kind);
  evidence.same_keys = {str_cat(prefix, name, "-os8", kind)};
  return evidence;
}

Network finish_vainf(Var logits, std::int64_t output_stride) {
  output("out", logits);
  Network network;
  network.classes = logits.channels();
  network.output_stride = output_stride;
  network.preparation = deeplab_preparation;
  if (network.classes == cityscapes_classes) network.preparation.resize = {.kind = ResizeRule::Kind::none};
  return network;
}

}  // namespace atrous::networks
