#include "layers/cpu/conv/conv2d_depthwise.h"

#include "layers/cpu/parallel.h"
#include "layers/cpu/tiles/depthwise_row.h"

namespace atrous {

namespace {

class DepthwiseConv2d final : public Kernel {
 public:
  DepthwiseConv2d(const Conv2d& layer, Isa isa) : layer_(layer), packed_(layer), row_(depthwise_row(isa)) {
    layer_.weight.data.reset();
    layer_.bias.reset();
  }

  std::string_view name() const override { return "depthwise"; }
  std::size_t packed_bytes() const override { return packed_.bytes(); }

  void run(const KernelCall& call) const override {
    const ConstView in = call.inputs[0];
    const View out = call.output;
    const bool has_residual = call.inputs.size() > 1;
    parallel_for(call.threads, out.shape.n * out.shape.h, [&](std::int64_t row) {
      const std::int64_t n = row / out.shape.h, y = row % out.shape.h;
      row_({.layer = layer_,
            .weights = packed_.weights.data(),
            .weight_pitch = out.shape.c,
            .bias = packed_.bias.data(),
            .channels = out.shape.c,
            .in = in.pixel(n, 0, 0),
            .in_pitch = in.pitch,
            .first_row = 0,
            .in_height = in.shape.h,
            .in_width = in.shape.w,
            .residual = has_residual ? residual_pixel(call.in(1), n, y, 0) : nullptr,
            .residual_pitch = has_residual ? residual_pitch(call.in(1), call.output.shape) : 0,
            .out = out.pixel(n, y, 0),
            .out_pitch = out.pitch,
            .out_width = out.shape.w,
            .y = y});
    });
  }

 private:
  Conv2d layer_;  // without its weights, which are packed
  PackedDepthwise packed_;
  RunDepthwiseRow row_;
};

}  // namespace

std::unique_ptr<Kernel> make_conv2d_depthwise(const Conv2d& layer, Isa isa) {
  if (layer.groups != layer.in_channels() || layer.groups != layer.out_channels()) return nullptr;
  return std::make_unique<DepthwiseConv2d>(layer, isa);
}

}  // namespace atrous
