#include "layers/cpu/backend.h"

#include <algorithm>

#include "layers/cpu/channelwise.h"
#include "layers/cpu/conv2d_depthwise.h"
#include "layers/cpu/conv2d_few_channels.h"
#include "layers/cpu/conv2d_implicit_gemm.h"
#include "layers/cpu/conv2d_pointwise.h"
#include "layers/cpu/elementwise.h"
#include "layers/cpu/expand_depthwise_banded.h"
#include "layers/error.h"

namespace atrous {

namespace {

// Runs a layer's reference; keeps the weights as they are.
class ReferenceKernel final : public Kernel {
 public:
  explicit ReferenceKernel(const Layer& layer) : layer_(layer) {}
  std::string_view name() const override { return "reference"; }
  std::size_t packed_bytes() const override {
    if (const auto* conv = std::get_if<Conv2d>(&layer_)) return floats(conv->weight);
    if (const auto* conv = std::get_if<ConvTranspose2d>(&layer_)) return floats(conv->weight);
    if (const auto* pair = std::get_if<ExpandDepthwise>(&layer_))
      return floats(pair->expand.weight) + floats(pair->depthwise.weight);
    if (const auto* gated = std::get_if<GatedConv2d>(&layer_)) return floats(gated->conv.weight);
    return 0;
  }
  void run(const KernelCall& call) const override { run_reference(layer_, call.inputs, call.output); }

 private:
  static std::size_t floats(const Filter& f) {
    return static_cast<std::size_t>(f.elements()) * sizeof(float);
  }
  Layer layer_;
};

struct Implementation {
  std::string_view name;
  // Null when it does not accept the layer.
  std::unique_ptr<Kernel> (*make)(const Layer&, const CpuOptions&);
};

constexpr Implementation reference{"reference",
                                   [](const Layer& layer, const CpuOptions&) -> std::unique_ptr<Kernel> {
                                     return std::make_unique<ReferenceKernel>(layer);
                                   }};

constexpr Implementation conv2d_list[] = {
    {"depthwise", [](const Layer& layer,
                     const CpuOptions& o) { return make_conv2d_depthwise(std::get<Conv2d>(layer), o.isa); }},
    {"pointwise", [](const Layer& layer,
                     const CpuOptions& o) { return make_conv2d_pointwise(std::get<Conv2d>(layer), o.isa); }},
    {"few_channels",
     [](const Layer& layer, const CpuOptions& o) {
       return make_conv2d_few_channels(std::get<Conv2d>(layer), o.isa);
     }},
    {"implicit_gemm",
     [](const Layer& layer, const CpuOptions& o) {
       return make_conv2d_implicit_gemm(std::get<Conv2d>(layer), o.isa, o.threads);
     }},
    reference,
};

constexpr Implementation max_pool2d_list[] = {
    {"channelwise",
     [](const Layer& layer, const CpuOptions& o) {
       return make_max_pool2d_channelwise(std::get<MaxPool2d>(layer), o.isa);
     }},
    reference,
};

constexpr Implementation adaptive_avg_pool2d_list[] = {
    {"channelwise",
     [](const Layer& layer, const CpuOptions& o) {
       return make_adaptive_avg_pool2d_channelwise(std::get<AdaptiveAvgPool2d>(layer), o.isa);
     }},
    reference,
};

constexpr Implementation resize_list[] = {
    {"channelwise",
     [](const Layer& layer, const CpuOptions& o) {
       return make_resize_channelwise(std::get<Resize>(layer), o.isa);
     }},
    reference,
};

constexpr Implementation activation_list[] = {
    {"elementwise",
     [](const Layer& layer, const CpuOptions& o) {
       return make_activation_elementwise(std::get<Activation>(layer), o.isa);
     }},
    reference,
};

constexpr Implementation add_list[] = {
    {"elementwise", [](const Layer& layer,
                       const CpuOptions& o) { return make_add_elementwise(std::get<Add>(layer), o.isa); }},
    reference,
};

constexpr Implementation mul_list[] = {
    {"elementwise", [](const Layer& layer,
                       const CpuOptions& o) { return make_mul_elementwise(std::get<Mul>(layer), o.isa); }},
    reference,
};

constexpr Implementation expand_depthwise_list[] = {
    {"banded",
     [](const Layer& layer, const CpuOptions& o) {
       return make_expand_depthwise_banded(std::get<ExpandDepthwise>(layer), o.isa);
     }},
    reference,
};

constexpr Implementation gated_conv2d_list[] = {
    {"pointwise",
     [](const Layer& layer, const CpuOptions& o) {
       return make_gated_conv2d_pointwise(std::get<GatedConv2d>(layer), o.isa);
     }},
    reference,
};

constexpr Implementation reference_list[] = {reference};

std::span<const Implementation> implementations(const Layer& layer) {
  if (std::holds_alternative<Conv2d>(layer)) return conv2d_list;
  if (std::holds_alternative<MaxPool2d>(layer)) return max_pool2d_list;
  if (std::holds_alternative<AdaptiveAvgPool2d>(layer)) return adaptive_avg_pool2d_list;
  if (std::holds_alternative<Resize>(layer)) return resize_list;
  if (std::holds_alternative<Activation>(layer)) return activation_list;
  if (std::holds_alternative<Add>(layer)) return add_list;
  if (std::holds_alternative<Mul>(layer)) return mul_list;
  if (std::holds_alternative<ExpandDepthwise>(layer)) return expand_depthwise_list;
  if (std::holds_alternative<GatedConv2d>(layer)) return gated_conv2d_list;
  return reference_list;
}

}  // namespace

std::unique_ptr<Kernel> make_cpu_kernel(const Node& node, const CpuOptions& options) {
  const auto list = implementations(node.layer);
  if (!options.force.empty())
    for (const Implementation& i : list)
      if (i.name == options.force)
        if (auto kernel = i.make(node.layer, options)) return kernel;
  for (const Implementation& i : list)
    if (auto kernel = i.make(node.layer, options)) return kernel;
  fail(ErrorCode::unsupported, node.name, ": no implementation accepts this ", name_of(node.layer));
}

std::vector<std::string_view> cpu_implementations(const Layer& layer) {
  std::vector<std::string_view> names;
  for (const Implementation& i : implementations(layer)) names.push_back(i.name);
  return names;
}

std::vector<std::string_view> cpu_implementations() {
  std::vector<std::string_view> names;
  for (const Layer& layer : {Layer(Conv2d{}), Layer(MaxPool2d{}), Layer(AdaptiveAvgPool2d{}), Layer(Resize{}),
                             Layer(Add{}), Layer(ExpandDepthwise{})})
    for (std::string_view name : cpu_implementations(layer))
      if (std::ranges::find(names, name) == names.end()) names.push_back(name);
  return names;
}

}  // namespace atrous
