#include "layers/cpu/backend.h"

#include <algorithm>

#include "layers/cpu/channelwise.h"
#include "layers/cpu/conv2d_implicit_gemm.h"
#include "layers/cpu/conv2d_winograd.h"

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
    return 0;
  }
  void run(const KernelCall& call) const override { run_reference(layer_, call.inputs, call.output); }

 private:
  static std::size_t floats(const Filter& f) {
    return static_cast<std::size_t>(f.elements()) * sizeof(float);
  }
  Layer layer_;
};

// A layer for which kernels are made. Those of a convolution share its packed weights.
class Subject {
 public:
  Subject(const Layer& layer, const CpuOptions& options) : layer(layer), options(options) {}
  const Layer& layer;
  const CpuOptions& options;

  const std::shared_ptr<const PackedConv2d>& packed() {
    if (!packed_)
      packed_ = std::make_shared<const PackedConv2d>(std::get<Conv2d>(layer), options.isa, options.threads);
    return packed_;
  }

 private:
  std::shared_ptr<const PackedConv2d> packed_;
};

struct Implementation {
  std::string_view name;
  // Null when it does not accept the layer.
  std::unique_ptr<Kernel> (*make)(Subject&);
};

constexpr Implementation reference{"reference", [](Subject& s) -> std::unique_ptr<Kernel> {
                                     return std::make_unique<ReferenceKernel>(s.layer);
                                   }};

constexpr Implementation conv2d_list[] = {
    {"winograd_6x6", [](Subject& s) { return make_conv2d_winograd(s.packed(), 6); }},
    {"winograd_4x4", [](Subject& s) { return make_conv2d_winograd(s.packed(), 4); }},
    {"winograd_3x3", [](Subject& s) { return make_conv2d_winograd(s.packed(), 3); }},
    {"winograd_2x2", [](Subject& s) { return make_conv2d_winograd(s.packed(), 2); }},
    {"implicit_gemm", [](Subject& s) { return make_conv2d_implicit_gemm(s.packed()); }},
    reference,
};

constexpr Implementation max_pool2d_list[] = {
    {"channelwise",
     [](Subject& s) { return make_max_pool2d_channelwise(std::get<MaxPool2d>(s.layer), s.options.isa); }},
    reference,
};

constexpr Implementation adaptive_avg_pool2d_list[] = {
    {"channelwise",
     [](Subject& s) {
       return make_adaptive_avg_pool2d_channelwise(std::get<AdaptiveAvgPool2d>(s.layer), s.options.isa);
     }},
    reference,
};

constexpr Implementation resize_list[] = {
    {"channelwise",
     [](Subject& s) { return make_resize_channelwise(std::get<Resize>(s.layer), s.options.isa); }},
    reference,
};

constexpr Implementation reference_list[] = {reference};

std::span<const Implementation> implementations(const Layer& layer) {
  if (std::holds_alternative<Conv2d>(layer)) return conv2d_list;
  if (std::holds_alternative<MaxPool2d>(layer)) return max_pool2d_list;
  if (std::holds_alternative<AdaptiveAvgPool2d>(layer)) return adaptive_avg_pool2d_list;
  if (std::holds_alternative<Resize>(layer)) return resize_list;
  return reference_list;
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
      if (i.name != reference.name) make(i);
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
       {Layer(Conv2d{}), Layer(MaxPool2d{}), Layer(AdaptiveAvgPool2d{}), Layer(Resize{}), Layer(Add{})})
    for (std::string_view name : cpu_implementations(layer))
      if (std::ranges::find(names, name) == names.end()) names.push_back(name);
  return names;
}

}  // namespace atrous
