#include "layers/cpu/conv/conv2d_few_channels.h"

#include "layers/cpu/conv/row_convolution.h"
#include "layers/cpu/parallel.h"

namespace atrous {

namespace {

constexpr std::int64_t most_channels = 4;                    // of the input, with any number of outputs
constexpr std::int64_t most_inputs = 64, most_outputs = 32;  // of both, where few outputs are what counts

class FewChannelsConv2d final : public Kernel {
 public:
  FewChannelsConv2d(const Conv2d& layer, Isa isa, std::string_view name)
      : name_(name), rows_(layer, isa, layer.padding, layer.padding) {}

  std::string_view name() const override { return name_; }
  std::size_t packed_bytes() const override { return rows_.bytes(); }

  std::size_t workspace_bytes(std::span<const Shape>, const Shape& out, int threads) const override {
    return rows_.workspace_bytes(out.w, threads);
  }

  // The tile is bound by its loads, as a matrix product of few columns is: no factor, measured with AVX-512.
  double cost(std::span<const Shape>, const Shape& out) const override {
    return static_cast<double>(out.n * out.h * out.w) * static_cast<double>(rows_.products());
  }

  void run(const KernelCall& call) const override {
    const View out = call.output;
    const Shape& shape = out.shape;
    const bool has_residual = call.inputs.size() > 1;
    parallel_for(call.threads, shape.n * shape.h, [&](std::int64_t row, int thread) {
      const std::int64_t n = row / shape.h, y = row % shape.h;
      rows_.run(call.inputs[0], n, y,
                {.out = out.pixel(n, y, 0),
                 .pitch = out.pitch,
                 .width = shape.w,
                 .residual = has_residual ? residual_pixel(call.in(1), n, y, 0) : nullptr,
                 .residual_pitch = has_residual ? residual_pitch(call.in(1), shape) : 0},
                call.workspace, thread);
    });
  }

 private:
  std::string_view name_;
  RowConvolution rows_;
};

// Of a kernel whose rows are stretches.
bool has_rows(const Conv2d& layer) {
  return layer.groups == 1 && layer.dilation == 1 && layer.weight.kernel_h * layer.weight.kernel_w > 1;
}

}  // namespace

std::unique_ptr<Kernel> make_conv2d_few_channels(const Conv2d& layer, Isa isa) {
  const bool accepted = has_rows(layer) && layer.weight.d1 <= most_channels;
  return accepted ? std::make_unique<FewChannelsConv2d>(layer, isa, "few_channels") : nullptr;
}

std::unique_ptr<Kernel> make_conv2d_few_outputs(const Conv2d& layer, Isa isa) {
  const bool accepted = has_rows(layer) && layer.weight.d0 <= most_outputs && layer.weight.d1 <= most_inputs;
  return accepted ? std::make_unique<FewChannelsConv2d>(layer, isa, "few_outputs") : nullptr;
}

}  // namespace atrous
