#include "layers/cpu/widened_kernel.h"

#include <utility>

#include "layers/base/checked.h"
#include "layers/cpu/maps/convert.h"

namespace atrous {

namespace {

constexpr double cost_of_an_element = 8;  // widened or rounded: about as long as so many products

std::size_t float_bytes(const Shape& shape) {
  const std::size_t bytes = static_cast<std::size_t>(checked_elements(shape)) * sizeof(float);
  return checked_add<std::size_t>(bytes, 63, "widened maps: workspace") / 64 * 64;
}

class WidenedKernel final : public Kernel {
 public:
  WidenedKernel(std::unique_ptr<Kernel> kernel, std::vector<MapType> inputs, const MapType& output, Isa isa)
      : kernel_(std::move(kernel)), inputs_(std::move(inputs)), output_(output.dtype), isa_(isa) {}

  std::string_view name() const override { return kernel_->name(); }
  std::size_t packed_bytes() const override { return kernel_->packed_bytes(); }

  // The maps as floats, then what the kernel works in.
  std::size_t workspace_bytes(std::span<const Shape> in, const Shape& out, int threads) const override {
    return checked_add(map_bytes(in, out), kernel_->workspace_bytes(in, out, threads),
                       "widened maps: workspace");
  }
  std::size_t least_workspace_bytes(std::span<const Shape> in, const Shape& out, int threads) const override {
    return checked_add(map_bytes(in, out), kernel_->least_workspace_bytes(in, out, threads),
                       "widened maps: workspace");
  }

  double cost(std::span<const Shape> in, const Shape& out) const override {
    return kernel_->cost(in, out) +
           cost_of_an_element * static_cast<double>(map_bytes(in, out) / sizeof(float));
  }

  void run(const KernelCall& call) const override {
    std::byte* at = call.workspace.data();
    const auto room = [&](const Shape& shape) {
      const AnyView map{at, shape, shape.c, DType::f32, {}};
      at += float_bytes(shape);
      return map;
    };
    std::vector<ConstAnyView> inputs(call.inputs.begin(), call.inputs.end());
    for (ConstAnyView& in : inputs) {
      if (in.dtype == DType::f32) continue;
      const AnyView wide = room(in.shape);
      convert_map(isa_, in, wide, call.threads);
      in = wide;
    }
    const bool rounds = call.output.dtype != DType::f32;
    const AnyView out = rounds ? room(call.output.shape) : call.output;
    const auto taken = static_cast<std::size_t>(at - call.workspace.data());
    kernel_->run({inputs, out, call.workspace.subspan(taken), call.threads});
    if (rounds) convert_map(isa_, out, call.output, call.threads);
  }

 private:
  std::size_t map_bytes(std::span<const Shape> in, const Shape& out) const {
    std::size_t bytes = output_ == DType::f32 ? 0 : float_bytes(out);
    for (std::size_t i = 0; i < in.size(); ++i)
      if (inputs_[i].dtype != DType::f32)
        bytes = checked_add(bytes, float_bytes(in[i]), "widened maps: workspace");
    return bytes;
  }

  std::unique_ptr<Kernel> kernel_;
  std::vector<MapType> inputs_;
  DType output_;
  Isa isa_;
};

}  // namespace

std::unique_ptr<Kernel> make_widened(std::unique_ptr<Kernel> kernel, std::vector<MapType> inputs,
                                     const MapType& output, Isa isa) {
  if (!kernel) return nullptr;
  return std::make_unique<WidenedKernel>(std::move(kernel), std::move(inputs), output, isa);
}

}  // namespace atrous
