#include "layers/cpu/conv/conv2d_of_floats_int8.h"

#include <vector>

#include "layers/base/checked.h"
#include "layers/cpu/conv/conv2d_implicit_gemm_int8.h"
#include "layers/cpu/maps/convert.h"

namespace atrous {

namespace {

class OfFloatsInt8 final : public Kernel {
 public:
  OfFloatsInt8(std::unique_ptr<Kernel> product, const MapType& in, Isa isa)
      : product_(std::move(product)), isa_(isa), quantisation_(in.quantisation) {}

  std::string_view name() const override { return product_->name(); }
  std::size_t packed_bytes() const override { return product_->packed_bytes(); }
  std::size_t workspace_bytes(std::span<const Shape> inputs, const Shape& out, int threads) const override {
    return checked_add(map_bytes(inputs[0]), product_->workspace_bytes(inputs, out, threads),
                       "conv2d: workspace");
  }
  double cost(std::span<const Shape> inputs, const Shape& out) const override {
    return product_->cost(inputs, out);
  }

  void run(const KernelCall& call) const override {
    std::vector<ConstAnyView> inputs(call.inputs.begin(), call.inputs.end());
    const Shape& shape = inputs[0].shape;
    const AnyView map{call.workspace.data(), shape, shape.c, DType::u8, quantisation_};
    convert_map(isa_, inputs[0], map, call.threads);
    inputs[0] = map;
    product_->run({inputs, call.output, call.workspace.subspan(map_bytes(shape)), call.threads});
  }

 private:
  static std::size_t map_bytes(const Shape& in) {
    return checked_add<std::size_t>(static_cast<std::size_t>(checked_elements(in)), 63, "conv2d: workspace") /
           64 * 64;
  }

  std::unique_ptr<Kernel> product_;
  Isa isa_;
  Quantisation quantisation_;
};

}  // namespace

std::unique_ptr<Kernel> make_conv2d_of_floats_int8(std::shared_ptr<const PackedConv2d> packed,
                                                   std::span<const MapType> inputs, const MapType& out,
                                                   Isa isa) {
  auto product = make_conv2d_implicit_gemm_int8(std::move(packed), inputs, out);
  if (!product) return nullptr;
  return std::make_unique<OfFloatsInt8>(std::move(product), inputs[0], isa);
}

}  // namespace atrous
