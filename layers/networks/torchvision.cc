#include "layers/networks/torchvision.h"

#include "layers/base/error.h"
#include "layers/networks/backbones/mobilenet_v3.h"
#include "layers/networks/backbones/resnet.h"

namespace atrous::networks {

Var fcn_head(Module m, Var x, std::int64_t classes) {
  x = relu(batch_norm(m[1], conv2d(m[0], x, {.out = x.channels() / 4, .kernel = 3})));
  return conv2d(m[4], x, {.out = m.classes(classes), .bias = true});
}

Features backbone(Module m, Var x, std::string_view name, Hyper& hyper) {
  if (name.starts_with("resnet")) {  // a checkpoint may have more blocks than a name
    const Resnet net = resnet_in(m, name);
    const std::int64_t output_stride =
        net.bottlenecks ? hyper.integer("os", 8, {8, 16, 32}) : hyper.integer("os", 32, {32});
    const ResnetFeatures f = resnet(m, x, net, torchvision_spacings(output_stride));
    return {f.layers[2], f.layers[3], output_stride};
  }
  const auto net = mobilenet_v3_by_name(name);
  if (!net) fail(ErrorCode::invalid_argument, "no backbone of torchvision's: ", name);
  const std::int64_t output_stride = hyper.integer("os", 16, {16, 32});
  const MobilenetFeatures f = mobilenet_v3(m, x, *net, output_stride == 16);
  return {f.all[f.low], f.all.back(), output_stride};
}

bool is_variant_of(std::string_view prefix, std::string_view variant, bool resnets) {
  if (!variant.starts_with(prefix)) return false;
  variant.remove_prefix(prefix.size());
  return (resnets && resnet_by_name(variant)) ||
         (mobilenet_v3_by_name(variant) && variant.find('(') == variant.npos);
}

Evidence look_for_backbone(const StateDict& state, std::string_view prefix,
                           std::initializer_list<std::string_view> head, bool resnets) {
  const auto with_head = [&](std::string_view first, std::string_view second) {
    Evidence evidence = look_for(state, {first, second});
    const Evidence rest = look_for(state, head);
    evidence.found.insert(evidence.found.end(), rest.found.begin(), rest.found.end());
    evidence.missing.insert(evidence.missing.end(), rest.missing.begin(), rest.missing.end());
    return evidence;
  };
  Evidence resnet = with_head("backbone.conv1", "backbone.layer1"),
           mobilenet = with_head("backbone.0.0", "backbone.1.block");
  if (!resnets || mobilenet.found.size() > resnet.found.size()) {
    if (mobilenet.complete()) mobilenet.variant = str_cat(prefix, mobilenet_v3_name(state, "backbone"));
    return mobilenet;
  }
  if (resnet.complete()) resnet.variant = str_cat(prefix, resnet_name(state, "backbone"));
  return resnet;
}

Network finish(Module m, Var logits, const Features& features) {
  output("out", logits);
  if (m.builder().aux) output("aux", fcn_head(m["aux_classifier"], features.early));
  return {.graph = {},
          .architecture = {},
          .classes = logits.channels(),
          .output_stride = features.output_stride,
          .choices = {}};
}

}  // namespace atrous::networks
