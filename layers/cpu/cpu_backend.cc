#include "layers/cpu/cpu_backend.h"

#include <algorithm>

#include "layers/cpu/conv/conv2d_depthwise.h"
#include "layers/cpu/conv/conv2d_depthwise_int8.h"
#include "layers/cpu/conv/conv2d_few_channels.h"
#include "layers/cpu/conv/conv2d_implicit_gemm.h"
#include "layers/cpu/conv/conv2d_implicit_gemm_bf16.h"
#include "layers/cpu/conv/conv2d_implicit_gemm_int8.h"
#include "layers/cpu/conv/conv2d_of_floats_int8.h"
#include "layers/cpu/conv/conv2d_pointwise.h"
#include "layers/cpu/conv/conv2d_tap_sums.h"
#include "layers/cpu/conv/conv2d_winograd.h"
#include "layers/cpu/conv/conv_transpose2d_columns.h"
#include "layers/cpu/conv/conv_transpose2d_subpixel.h"
#include "layers/cpu/conv/doubled_conv2d_phases.h"
#include "layers/cpu/conv/expand_depthwise_banded.h"
#if ATROUS_HAS_EIGEN
#include "layers/cpu/eigen/conv2d_eigen.h"
#endif
#include "layers/cpu/maps/channelwise.h"
#include "layers/cpu/maps/copy.h"
#include "layers/cpu/maps/elementwise.h"
#include "layers/cpu/maps/encoding_channelwise.h"
#include "layers/cpu/maps/gate_int8.h"
#include "layers/cpu/maps/group_norm_channelwise.h"
#include "layers/cpu/maps/position_attention_blocked.h"
#include "layers/cpu/widened_kernel.h"
#include "layers/graph/implementation.h"

namespace atrous {

namespace {

// Runs a layer's reference; keeps the weights as they are.
class ReferenceKernel final : public Kernel {
 public:
  explicit ReferenceKernel(const Layer& layer) : layer_(layer) {}
  std::string_view name() const override { return "reference"; }
  std::size_t packed_bytes() const override { return weight_bytes(layer_); }
  void run(const KernelCall& call) const override {
    const std::vector<ConstView> inputs(call.inputs.begin(), call.inputs.end());
    run_reference(layer_, inputs, call.output);
  }

 private:
  Layer layer_;
};

class QuantisedReference final : public Kernel {
 public:
  explicit QuantisedReference(const Conv2d& layer) : layer_(layer) {}
  std::string_view name() const override { return "reference"; }
  std::size_t packed_bytes() const override { return weight_bytes(layer_); }
  void run(const KernelCall& call) const override {
    quantised_conv2d_reference(layer_, call.inputs[0], call.inputs.size() > 1 ? &call.inputs[1] : nullptr,
                               call.output);
  }

 private:
  Conv2d layer_;
};

// A layer for which kernels are made. Those of a convolution share its packed weights.
class KernelContext {
 public:
  KernelContext(const Layer& layer, const CpuOptions& options, const MapTypes* types = nullptr)
      : layer(layer), options(options), types(types) {}
  const Layer& layer;
  const CpuOptions& options;
  const MapTypes* types;  // null where all maps are in fp32

  template <class L>
  const L& as() const {
    return std::get<L>(layer);
  }
  const std::shared_ptr<const PackedConv2d>& packed(DType dtype = DType::f32) {
    const auto* doubled = std::get_if<DoubledConv2d>(&layer);
    if (!packed_)
      packed_ = std::make_shared<const PackedConv2d>(doubled ? doubled->conv : as<Conv2d>(), options.isa,
                                                     options.threads, dtype);
    return packed_;
  }

 private:
  std::shared_ptr<const PackedConv2d> packed_;
};

using CpuImplementation = Implementation<KernelContext&>;

constexpr CpuImplementation reference{.name = "reference",
                                      .make = [](KernelContext& c) -> std::unique_ptr<Kernel> {
                                        return std::make_unique<ReferenceKernel>(c.layer);
                                      },
                                      .fallback = true};

constexpr CpuImplementation conv2d_list[] = {
    {"depthwise",
     [](KernelContext& c) -> std::unique_ptr<Kernel> {
       const auto& conv = c.as<Conv2d>();
       if (conv.groups == 1) return nullptr;  // of one channel: its output may be its residual's view
       return make_conv2d_depthwise(conv, c.options.isa);
     },
     true, Rounding::close},
    {"pointwise",
     [](KernelContext& c) { return make_conv2d_pointwise(c.as<Conv2d>(), c.options.isa, c.options.threads); },
     true, Rounding::close},
    {"few_channels", [](KernelContext& c) { return make_conv2d_few_channels(c.as<Conv2d>(), c.options.isa); },
     true, Rounding::close},
    {"few_outputs", [](KernelContext& c) { return make_conv2d_few_outputs(c.as<Conv2d>(), c.options.isa); },
     false, Rounding::close},
    {"tap_sums", [](KernelContext& c) { return make_conv2d_tap_sums(c.as<Conv2d>(), c.options.isa); }, false,
     Rounding::close},
    {"winograd_6x6", [](KernelContext& c) { return make_conv2d_winograd(c.packed(), 6); }, false,
     Rounding::any},
    {"winograd_4x4", [](KernelContext& c) { return make_conv2d_winograd(c.packed(), 4); }, false,
     Rounding::close},
    {"winograd_3x3", [](KernelContext& c) { return make_conv2d_winograd(c.packed(), 3); }, false,
     Rounding::close},
    {"winograd_2x2", [](KernelContext& c) { return make_conv2d_winograd(c.packed(), 2); }, false,
     Rounding::close},
    {"implicit_gemm", [](KernelContext& c) { return make_conv2d_implicit_gemm(c.packed()); }},
#if ATROUS_HAS_EIGEN  // implicit_gemm takes any layer, so that this one is only made when forced
    {.name = "eigen",
     .make = [](KernelContext& c) { return make_conv2d_eigen(c.as<Conv2d>()); },
     .fallback = true},
#endif
    reference,
};

// With the input in bfloat16, and its weights. The output may be in fp32.
constexpr CpuImplementation conv2d_bf16_list[] = {
    {"winograd_6x6", [](KernelContext& c) { return make_conv2d_winograd(c.packed(DType::bf16), 6); }, false,
     Rounding::any},
    {"winograd_4x4", [](KernelContext& c) { return make_conv2d_winograd(c.packed(DType::bf16), 4); }, false,
     Rounding::close},
    {"winograd_3x3", [](KernelContext& c) { return make_conv2d_winograd(c.packed(DType::bf16), 3); }, false,
     Rounding::close},
    {"winograd_2x2", [](KernelContext& c) { return make_conv2d_winograd(c.packed(DType::bf16), 2); }, false,
     Rounding::close},
    {"implicit_gemm", [](KernelContext& c) { return make_conv2d_implicit_gemm_bf16(c.packed(DType::bf16)); }},
};

// In 8 bits, of a layer with quantised weights.
constexpr CpuImplementation conv2d_int8_list[] = {
    {"depthwise",
     [](KernelContext& c) {
       return make_conv2d_depthwise_int8(c.as<Conv2d>(), c.types->inputs, c.types->output, c.options.isa);
     },
     true, Rounding::precise},
    {"implicit_gemm",
     [](KernelContext& c) -> std::unique_ptr<Kernel> {
       if (c.as<Conv2d>().weight.d1 % 4 != 0) return nullptr;
       return make_conv2d_implicit_gemm_int8(c.packed(DType::i8), c.types->inputs, c.types->output);
     }},
    {.name = "reference",
     .make = [](KernelContext& c) -> std::unique_ptr<Kernel> {
       return std::make_unique<QuantisedReference>(c.as<Conv2d>());
     },
     .fallback = true},
};

// The same of a map in fp32 that is quantised on the way.
constexpr CpuImplementation conv2d_of_floats_int8_list[] = {
    {"implicit_gemm",
     [](KernelContext& c) -> std::unique_ptr<Kernel> {
       if (c.as<Conv2d>().weight.d1 % 4 != 0) return nullptr;
       return make_conv2d_of_floats_int8(c.packed(DType::i8), c.types->inputs, c.types->output,
                                         c.options.isa);
     }},
    {.name = "reference",
     .make = [](KernelContext& c) -> std::unique_ptr<Kernel> {
       return std::make_unique<QuantisedReference>(c.as<Conv2d>());
     },
     .fallback = true},
};

constexpr CpuImplementation gate_int8_list[] = {
    {"elementwise", [](KernelContext& c) { return make_gate_int8(c.options.isa); }},
};

constexpr CpuImplementation conv_transpose2d_list[] = {
    {"depthwise",
     [](KernelContext& c) { return make_conv_transpose2d_depthwise(c.as<ConvTranspose2d>(), c.options.isa); },
     true},
    {"columns",
     [](KernelContext& c) {
       return make_conv_transpose2d_columns(c.as<ConvTranspose2d>(), c.options.isa, c.options.threads);
     },
     true},
    {"subpixel",
     [](KernelContext& c) {
       return make_conv_transpose2d_subpixel(c.as<ConvTranspose2d>(), c.options.isa, c.options.threads);
     }},
    reference,
};

constexpr CpuImplementation max_pool2d_list[] = {
    {"channelwise",
     [](KernelContext& c) { return make_max_pool2d_channelwise(c.as<MaxPool2d>(), c.options.isa); }},
    reference,
};

constexpr CpuImplementation max_unpool2d_list[] = {
    {"channelwise",
     [](KernelContext& c) { return make_max_unpool2d_channelwise(c.as<MaxUnpool2d>(), c.options.isa); }},
    reference,
};

constexpr CpuImplementation l2_norm_list[] = {
    {"channelwise", [](KernelContext& c) { return make_l2_norm_channelwise(c.as<L2Norm>(), c.options.isa); }},
    reference,
};

constexpr CpuImplementation adaptive_avg_pool2d_list[] = {
    {"channelwise",
     [](KernelContext& c) {
       return make_adaptive_avg_pool2d_channelwise(c.as<AdaptiveAvgPool2d>(), c.options.isa);
     }},
    reference,
};

constexpr CpuImplementation resize_list[] = {
    {"channelwise", [](KernelContext& c) { return make_resize_channelwise(c.as<Resize>(), c.options.isa); }},
    reference,
};

constexpr CpuImplementation activation_list[] = {
    {"elementwise",
     [](KernelContext& c) { return make_activation_elementwise(c.as<Activation>(), c.options.isa); }},
    reference,
};

constexpr CpuImplementation add_list[] = {
    {"elementwise", [](KernelContext& c) { return make_add_elementwise(c.as<Add>(), c.options.isa); }},
    reference,
};

constexpr CpuImplementation mul_list[] = {
    {"elementwise", [](KernelContext& c) { return make_mul_elementwise(c.as<Mul>(), c.options.isa); }},
    reference,
};

constexpr CpuImplementation max_list[] = {
    {"elementwise", [](KernelContext& c) { return make_max_elementwise(c.as<Max>(), c.options.isa); }},
    reference,
};

constexpr CpuImplementation scale_list[] = {
    {"elementwise", [](KernelContext& c) { return make_scale_elementwise(c.as<Scale>(), c.options.isa); }},
    reference,
};

constexpr CpuImplementation crop_list[] = {
    {"copy", [](KernelContext& c) { return make_crop_copy(c.as<Crop>()); }},
    reference,
};

constexpr CpuImplementation concat_list[] = {
    {"copy", [](KernelContext& c) { return make_concat_copy(c.as<Concat>()); }},
    reference,
};

constexpr CpuImplementation encoding_list[] = {
    {"channelwise",
     [](KernelContext& c) { return make_encoding_channelwise(c.as<Encoding>(), c.options.isa); }},
    reference,
};

constexpr CpuImplementation group_norm_list[] = {
    {"channelwise",
     [](KernelContext& c) { return make_group_norm_channelwise(c.as<GroupNorm>(), c.options.isa); }},
    reference,
};

constexpr CpuImplementation position_attention_list[] = {
    {"blocked",
     [](KernelContext& c) {
       return make_position_attention_blocked(c.as<PositionAttention>(), c.options.isa);
     }},
    reference,
};

constexpr CpuImplementation expand_depthwise_list[] = {
    {"banded",
     [](KernelContext& c) { return make_expand_depthwise_banded(c.as<ExpandDepthwise>(), c.options.isa); }},
    reference,
};

constexpr CpuImplementation gated_conv2d_list[] = {
    {"pointwise",
     [](KernelContext& c) {
       return make_gated_conv2d_pointwise(c.as<GatedConv2d>(), c.options.isa, c.options.threads);
     }},
    reference,
};

constexpr CpuImplementation doubled_conv2d_list[] = {
    {"phases",
     [](KernelContext& c) { return make_doubled_conv2d_phases(c.as<DoubledConv2d>(), c.options.isa); }, true},
    {"winograd_doubled", [](KernelContext& c) { return make_doubled_conv2d_winograd(c.packed()); }},
    reference,
};

constexpr CpuImplementation reference_list[] = {reference};

// By the kind of layer.
std::span<const CpuImplementation> list_for(const Conv2d&) { return conv2d_list; }
std::span<const CpuImplementation> list_for(const ConvTranspose2d&) { return conv_transpose2d_list; }
std::span<const CpuImplementation> list_for(const MaxPool2d&) { return max_pool2d_list; }
std::span<const CpuImplementation> list_for(const MaxUnpool2d&) { return max_unpool2d_list; }
std::span<const CpuImplementation> list_for(const L2Norm&) { return l2_norm_list; }
std::span<const CpuImplementation> list_for(const AdaptiveAvgPool2d&) { return adaptive_avg_pool2d_list; }
std::span<const CpuImplementation> list_for(const Resize&) { return resize_list; }
std::span<const CpuImplementation> list_for(const Crop&) { return crop_list; }
std::span<const CpuImplementation> list_for(const Concat&) { return concat_list; }
std::span<const CpuImplementation> list_for(const Activation&) { return activation_list; }
std::span<const CpuImplementation> list_for(const Add&) { return add_list; }
std::span<const CpuImplementation> list_for(const Mul&) { return mul_list; }
std::span<const CpuImplementation> list_for(const Max&) { return max_list; }
std::span<const CpuImplementation> list_for(const Scale&) { return scale_list; }
std::span<const CpuImplementation> list_for(const Encoding&) { return encoding_list; }
std::span<const CpuImplementation> list_for(const ExpandDepthwise&) { return expand_depthwise_list; }
std::span<const CpuImplementation> list_for(const GatedConv2d&) { return gated_conv2d_list; }
std::span<const CpuImplementation> list_for(const DoubledConv2d&) { return doubled_conv2d_list; }
std::span<const CpuImplementation> list_for(const BatchNorm&) { return reference_list; }
std::span<const CpuImplementation> list_for(const Softmax&) { return reference_list; }
std::span<const CpuImplementation> list_for(const GroupNorm&) { return group_norm_list; }
std::span<const CpuImplementation> list_for(const PositionAttention&) { return position_attention_list; }

std::span<const CpuImplementation> implementations(const Layer& layer) {
  return std::visit([](const auto& l) { return list_for(l); }, layer);
}

// Whether the layer's kernels, all but the reference, take maps of these types as they are.
bool takes_any_type(const Layer& layer, const MapTypes& types) {
  const auto like_output = [&](const MapType& t) { return t == types.output; };
  if (std::holds_alternative<AdaptiveAvgPool2d>(layer)) return types.output.dtype == DType::f32;
  if (const auto* resize = std::get_if<Resize>(&layer))  // the other's size counts
    return (types.output.dtype != DType::u8 || resize->mode == ResizeMode::nearest) &&
           like_output(types.inputs[0]);
  const bool known = std::holds_alternative<Concat>(layer) || std::holds_alternative<Crop>(layer) ||
                     std::holds_alternative<MaxPool2d>(layer);
  return known && std::ranges::all_of(types.inputs, like_output);
}

// The list of those that take narrow maps as they are; empty where maps are widened.
std::span<const CpuImplementation> narrow_list(const Layer& layer, const MapTypes& types) {
  const DType in = types.inputs[0].dtype;
  if (const auto* conv = std::get_if<Conv2d>(&layer)) {
    if (conv->groups == 1 && conv->in_channels() % 2 == 0 && in == DType::bf16) return conv2d_bf16_list;
    if (conv->weight.quantised && in == DType::u8) return conv2d_int8_list;
    if (conv->weight.quantised && in == DType::f32) return conv2d_of_floats_int8_list;
  }
  const bool gated = std::holds_alternative<Mul>(layer) && in == DType::u8 &&
                     types.output.dtype == DType::u8 && types.inputs[1].dtype == DType::f32;
  return gated ? std::span<const CpuImplementation>(gate_int8_list) : std::span<const CpuImplementation>();
}

}  // namespace

std::vector<std::unique_ptr<Kernel>> make_cpu_kernels(const Node& node, const CpuOptions& options) {
  KernelContext context(node.layer, options);
  return make_listed_kernels(node.layer, implementations(node.layer), options.force, context);
}

std::vector<std::unique_ptr<Kernel>> make_cpu_kernels(const Node& node, const CpuOptions& options,
                                                      const MapTypes& types) {
  const bool all_floats =
      types.output.dtype == DType::f32 &&
      std::ranges::all_of(types.inputs, [](const MapType& t) { return t.dtype == DType::f32; });
  const auto* conv = std::get_if<Conv2d>(&node.layer);
  const bool quantised = conv && conv->weight.quantised;  // they have no kernels of other maps
  if (all_floats && !quantised) return make_cpu_kernels(node, options);
  KernelContext context(node.layer, options, &types);
  const auto list = narrow_list(node.layer, types);
  const bool listed =
      std::ranges::any_of(list, [&](const CpuImplementation& i) { return i.name == options.force; });
  if (!list.empty() && (options.force.empty() || listed || quantised))
    return make_listed_kernels(node.layer, list, options.force, context);
  const bool any_type = takes_any_type(node.layer, types);
  auto kernels = make_listed_kernels(node.layer, implementations(node.layer), options.force, context);
  for (auto& kernel : kernels)
    if (!any_type || kernel->name() == reference.name)
      kernel = make_widened(std::move(kernel), types.inputs, types.output, options.isa);
  return kernels;
}

std::vector<std::string_view> cpu_implementations(const Layer& layer) {
  std::vector<std::string_view> names;
  for (const CpuImplementation& i : implementations(layer)) names.push_back(i.name);
  return names;
}

std::vector<std::string_view> cpu_implementations() {
  std::vector<std::string_view> names;
  for (const Layer& layer : {Layer(Conv2d{}), Layer(ConvTranspose2d{}), Layer(MaxPool2d{}),
                             Layer(AdaptiveAvgPool2d{}), Layer(Resize{}), Layer(Crop{}), Layer(Add{}),
                             Layer(PositionAttention{}), Layer(ExpandDepthwise{}), Layer(DoubledConv2d{})})
    for (std::string_view name : cpu_implementations(layer))
      if (std::ranges::find(names, name) == names.end()) names.push_back(name);
  return names;
}

}  // namespace atrous
