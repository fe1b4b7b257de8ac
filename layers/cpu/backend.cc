#include "layers/cpu/backend.h"

#include <algorithm>

#include "layers/cpu/conv/conv2d_depthwise.h"
#include "layers/cpu/conv/conv2d_few_channels.h"
#include "layers/cpu/conv/conv2d_implicit_gemm.h"
#include "layers/cpu/conv/conv2d_pointwise.h"
#include "layers/cpu/conv/conv2d_winograd.h"
#include "layers/cpu/conv/conv_transpose2d_columns.h"
#include "layers/cpu/conv/conv_transpose2d_subpixel.h"
#include "layers/cpu/conv/expand_depthwise_banded.h"
#include "layers/cpu/maps/channelwise.h"
#include "layers/cpu/maps/copy.h"
#include "layers/cpu/maps/elementwise.h"
#include "layers/cpu/maps/encoding_channelwise.h"
#include "layers/cpu/maps/group_norm_channelwise.h"
#include "layers/cpu/maps/position_attention_blocked.h"

namespace atrous {

namespace {

// Runs a layer's reference; keeps the weights as they are.
class ReferenceKernel final : public Kernel {
 public:
  explicit ReferenceKernel(const Layer& layer) : layer_(layer) {}
  std::string_view name() const override { return "reference"; }
  std::size_t packed_bytes() const override { return weight_bytes(layer_); }
  void run(const KernelCall& call) const override { run_reference(layer_, call.inputs, call.output); }

 private:
  Layer layer_;
};

// A layer for which kernels are made. Those of a convolution share its packed weights.
class Subject {
 public:
  Subject(const Layer& layer, const CpuOptions& options) : layer(layer), options(options) {}
  const Layer& layer;
  const CpuOptions& options;

  template <class L>
  const L& as() const {
    return std::get<L>(layer);
  }
  const std::shared_ptr<const PackedConv2d>& packed() {
    if (!packed_) packed_ = std::make_shared<const PackedConv2d>(as<Conv2d>(), options.isa, options.threads);
    return packed_;
  }

 private:
  std::shared_ptr<const PackedConv2d> packed_;
};

struct Implementation {
  std::string_view name;
  // Null when it does not accept the layer.
  std::unique_ptr<Kernel> (*make)(Subject&);
  bool alone = false;  // where it accepts it always wins, and no others are made
};

constexpr Implementation reference{"reference", [](Subject& s) -> std::unique_ptr<Kernel> {
                                     return std::make_unique<ReferenceKernel>(s.layer);
                                   }};

constexpr Implementation conv2d_list[] = {
    {"depthwise",
     [](Subject& s) -> std::unique_ptr<Kernel> {
       const auto& conv = s.as<Conv2d>();
       if (conv.groups == 1) return nullptr;  // of one channel: its output may be its residual's view
       return make_conv2d_depthwise(conv, s.options.isa);
     },
     true},
    {"pointwise",
     [](Subject& s) { return make_conv2d_pointwise(s.as<Conv2d>(), s.options.isa, s.options.threads); },
     true},
    {"few_channels", [](Subject& s) { return make_conv2d_few_channels(s.as<Conv2d>(), s.options.isa); },
     true},
    {"few_outputs", [](Subject& s) { return make_conv2d_few_outputs(s.as<Conv2d>(), s.options.isa); }},
    {"winograd_6x6", [](Subject& s) { return make_conv2d_winograd(s.packed(), 6); }},
    {"winograd_4x4", [](Subject& s) { return make_conv2d_winograd(s.packed(), 4); }},
    {"winograd_3x3", [](Subject& s) { return make_conv2d_winograd(s.packed(), 3); }},
    {"winograd_2x2", [](Subject& s) { return make_conv2d_winograd(s.packed(), 2); }},
    {"implicit_gemm", [](Subject& s) { return make_conv2d_implicit_gemm(s.packed()); }},
    reference,
};

constexpr Implementation conv_transpose2d_list[] = {
    {"depthwise",
     [](Subject& s) { return make_conv_transpose2d_depthwise(s.as<ConvTranspose2d>(), s.options.isa); },
     true},
    {"columns",
     [](Subject& s) {
       return make_conv_transpose2d_columns(s.as<ConvTranspose2d>(), s.options.isa, s.options.threads);
     },
     true},
    {"subpixel",
     [](Subject& s) {
       return make_conv_transpose2d_subpixel(s.as<ConvTranspose2d>(), s.options.isa, s.options.threads);
     }},
    reference,
};

constexpr Implementation max_pool2d_list[] = {
    {"channelwise", [](Subject& s) { return make_max_pool2d_channelwise(s.as<MaxPool2d>(), s.options.isa); }},
    reference,
};

constexpr Implementation max_unpool2d_list[] = {
    {"channelwise",
     [](Subject& s) { return make_max_unpool2d_channelwise(s.as<MaxUnpool2d>(), s.options.isa); }},
    reference,
};

constexpr Implementation l2_norm_list[] = {
    {"channelwise", [](Subject& s) { return make_l2_norm_channelwise(s.as<L2Norm>(), s.options.isa); }},
    reference,
};

constexpr Implementation adaptive_avg_pool2d_list[] = {
    {"channelwise",
     [](Subject& s) {
       return make_adaptive_avg_pool2d_channelwise(s.as<AdaptiveAvgPool2d>(), s.options.isa);
     }},
    reference,
};

constexpr Implementation resize_list[] = {
    {"channelwise", [](Subject& s) { return make_resize_channelwise(s.as<Resize>(), s.options.isa); }},
    reference,
};

constexpr Implementation activation_list[] = {
    {"elementwise",
     [](Subject& s) { return make_activation_elementwise(s.as<Activation>(), s.options.isa); }},
    reference,
};

constexpr Implementation add_list[] = {
    {"elementwise", [](Subject& s) { return make_add_elementwise(s.as<Add>(), s.options.isa); }},
    reference,
};

constexpr Implementation mul_list[] = {
    {"elementwise", [](Subject& s) { return make_mul_elementwise(s.as<Mul>(), s.options.isa); }},
    reference,
};

constexpr Implementation max_list[] = {
    {"elementwise", [](Subject& s) { return make_max_elementwise(s.as<Max>(), s.options.isa); }},
    reference,
};

constexpr Implementation scale_list[] = {
    {"elementwise", [](Subject& s) { return make_scale_elementwise(s.as<Scale>(), s.options.isa); }},
    reference,
};

constexpr Implementation crop_list[] = {
    {"copy", [](Subject& s) { return make_crop_copy(s.as<Crop>()); }},
    reference,
};

constexpr Implementation concat_list[] = {
    {"copy", [](Subject& s) { return make_concat_copy(s.as<Concat>()); }},
    reference,
};

constexpr Implementation encoding_list[] = {
    {"channelwise", [](Subject& s) { return make_encoding_channelwise(s.as<Encoding>(), s.options.isa); }},
    reference,
};

constexpr Implementation group_norm_list[] = {
    {"channelwise", [](Subject& s) { return make_group_norm_channelwise(s.as<GroupNorm>(), s.options.isa); }},
    reference,
};

constexpr Implementation position_attention_list[] = {
    {"blocked",
     [](Subject& s) { return make_position_attention_blocked(s.as<PositionAttention>(), s.options.isa); }},
    reference,
};

constexpr Implementation expand_depthwise_list[] = {
    {"banded",
     [](Subject& s) { return make_expand_depthwise_banded(s.as<ExpandDepthwise>(), s.options.isa); }},
    reference,
};

constexpr Implementation gated_conv2d_list[] = {
    {"pointwise",
     [](Subject& s) {
       return make_gated_conv2d_pointwise(s.as<GatedConv2d>(), s.options.isa, s.options.threads);
     }},
    reference,
};

constexpr Implementation reference_list[] = {reference};

// By the kind of layer.
std::span<const Implementation> list_for(const Conv2d&) { return conv2d_list; }
std::span<const Implementation> list_for(const ConvTranspose2d&) { return conv_transpose2d_list; }
std::span<const Implementation> list_for(const MaxPool2d&) { return max_pool2d_list; }
std::span<const Implementation> list_for(const MaxUnpool2d&) { return max_unpool2d_list; }
std::span<const Implementation> list_for(const L2Norm&) { return l2_norm_list; }
std::span<const Implementation> list_for(const AdaptiveAvgPool2d&) { return adaptive_avg_pool2d_list; }
std::span<const Implementation> list_for(const Resize&) { return resize_list; }
std::span<const Implementation> list_for(const Crop&) { return crop_list; }
std::span<const Implementation> list_for(const Concat&) { return concat_list; }
std::span<const Implementation> list_for(const Activation&) { return activation_list; }
std::span<const Implementation> list_for(const Add&) { return add_list; }
std::span<const Implementation> list_for(const Mul&) { return mul_list; }
std::span<const Implementation> list_for(const Max&) { return max_list; }
std::span<const Implementation> list_for(const Scale&) { return scale_list; }
std::span<const Implementation> list_for(const Encoding&) { return encoding_list; }
std::span<const Implementation> list_for(const ExpandDepthwise&) { return expand_depthwise_list; }
std::span<const Implementation> list_for(const GatedConv2d&) { return gated_conv2d_list; }
std::span<const Implementation> list_for(const BatchNorm&) { return reference_list; }
std::span<const Implementation> list_for(const Softmax&) { return reference_list; }
std::span<const Implementation> list_for(const GroupNorm&) { return group_norm_list; }
std::span<const Implementation> list_for(const PositionAttention&) { return position_attention_list; }

std::span<const Implementation> implementations(const Layer& layer) {
  return std::visit([](const auto& l) { return list_for(l); }, layer);
}

}  // namespace

std::vector<std::unique_ptr<Kernel>> make_cpu_kernels(const Node& node, const CpuOptions& options) {
  const auto list = implementations(node.layer);
  Subject subject(node.layer, options);
  std::vector<std::unique_ptr<Kernel>> kernels;
  const auto make = [&](const Implementation& i) {
    if (auto kernel = i.make(subject)) kernels.push_back(std::move(kernel));
  };
  if (!options.force.empty())
    for (const Implementation& i : list)
      if (i.name == options.force) make(i);
  if (kernels.empty())
    for (const Implementation& i : list)
      if (i.name != reference.name) {
        make(i);
        if (i.alone && !kernels.empty()) break;
      }
  if (kernels.empty()) make(reference);
  return kernels;
}

std::vector<std::string_view> cpu_implementations(const Layer& layer) {
  std::vector<std::string_view> names;
  for (const Implementation& i : implementations(layer)) names.push_back(i.name);
  return names;
}

std::vector<std::string_view> cpu_implementations() {
  std::vector<std::string_view> names;
  for (const Layer& layer :
       {Layer(Conv2d{}), Layer(ConvTranspose2d{}), Layer(MaxPool2d{}), Layer(AdaptiveAvgPool2d{}),
        Layer(Resize{}), Layer(Crop{}), Layer(Add{}), Layer(PositionAttention{}), Layer(ExpandDepthwise{})})
    for (std::string_view name : cpu_implementations(layer))
      if (std::ranges::find(names, name) == names.end()) names.push_back(name);
  return names;
}

}  // namespace atrous
