#include "layers/cuda/conv/convolutions.h"

#include <optional>

#include "layers/base/checked.h"
#include "layers/cuda/conv/conv2d_call.h"
#include "layers/cuda/conv/padded_conv2d.h"
#include "layers/cuda/cuda_kernels.h"

namespace atrous::cuda {

namespace {

using Run = void (*)(cudaStream_t, const ConvolutionWeights&, Map in, const Map* residual, Map out);

class CudaConvolution final : public Kernel {
 public:
  CudaConvolution(std::string_view name, std::shared_ptr<Context> context, const std::vector<float>& weight,
                  const std::vector<float>& bias, ConvolutionWeights shape, Run run)
      : name_(name),
        context_(std::move(context)),
        weight_(to_device(weight, Precision::fp32)),
        bias_(to_device(bias, Precision::fp32)),
        weights_(shape),
        run_(run) {
    weights_.weight = weight_.data();
    weights_.bias = bias.empty() ? nullptr : static_cast<const float*>(bias_.data());
  }
  std::string_view name() const override { return name_; }
  std::size_t packed_bytes() const override { return weight_.size() + bias_.size(); }
  void run(const KernelCall& call) const override {
    std::optional<Map> residual;
    if (call.inputs.size() > 1) residual = map_of(call.inputs[1]);
    run_(stream_of(call), weights_, map_of(call.inputs[0]), residual ? &*residual : nullptr,
         map_of(call.output));
  }

 private:
  std::string_view name_;
  std::shared_ptr<Context> context_;
  Memory weight_, bias_;
  ConvolutionWeights weights_;
  Run run_;
};

std::vector<float> padded_bias(const std::shared_ptr<const float>& bias, std::int64_t channels,
                               std::int64_t padded) {
  if (!bias) return {};
  std::vector<float> values(static_cast<std::size_t>(padded));
  std::copy_n(bias.get(), channels, values.begin());
  return values;
}

// [d0, d1, kh, kw] -> [kh, kw, d1, d0 padded]: along a row of it, output channels follow each other.
std::vector<float> taps_first(const Filter& w, std::int64_t padded) {
  std::vector<float> packed(
      static_cast<std::size_t>(checked_product({w.kernel_h, w.kernel_w, w.d1, padded}, "weights")));
  float* to = packed.data();
  for (std::int64_t y = 0; y < w.kernel_h; ++y)
    for (std::int64_t x = 0; x < w.kernel_w; ++x)
      for (std::int64_t i = 0; i < w.d1; ++i, to += padded)
        for (std::int64_t o = 0; o < w.d0; ++o) to[o] = w.at(o, i, y, x);
  return packed;
}

int narrow(std::int64_t size) { return checked_cast<int>(size, "cuda: convolution"); }

ConvolutionWeights shape_of(const Conv2d& conv) {
  return {.kernel_h = narrow(conv.weight.kernel_h),
          .kernel_w = narrow(conv.weight.kernel_w),
          .stride = narrow(conv.stride),
          .padding = narrow(conv.padding),
          .dilation = narrow(conv.dilation),
          .groups = narrow(conv.groups),
          .activation = conv.activation};
}

// On the weights that the libraries' kernels have.
class DirectConv2d final : public Kernel {
 public:
  DirectConv2d(const Conv2d& conv, std::shared_ptr<Context> context)
      : context_(std::move(context)), packed_(pack(conv, *context_)), weights_(shape_of(conv)) {
    weights_.weight = packed_->weight.data();
    weights_.bias = static_cast<const float*>(packed_->bias_fp32.data());
    weights_.input_pitch = narrow(conv.groups > 1 ? conv.weight.d1 : packed_->in_channels);
  }
  std::string_view name() const override { return "direct"; }
  std::size_t packed_bytes() const override { return packed_->bytes(); }
  // Where a library has anything, it is quicker.
  double cost(std::span<const Shape>, const Shape&) const override { return 1e12; }
  void run(const KernelCall& call) const override {
    const Conv2dOperands operands = operands_of(call, *context_);
    conv2d_direct(stream_of(call), weights_, operands.in, operands.residual ? &*operands.residual : nullptr,
                  operands.out);
  }

 private:
  std::shared_ptr<Context> context_;
  std::shared_ptr<const PaddedConv2d> packed_;
  ConvolutionWeights weights_;
};

}  // namespace

std::unique_ptr<Kernel> make_conv2d_depthwise(const Conv2d& conv, const std::shared_ptr<Context>& context) {
  const std::int64_t channels = conv.out_channels();
  if (conv.groups != channels || conv.in_channels() != channels) return nullptr;
  const std::int64_t padded = device_pitch(channels, context->precision());
  return std::make_unique<CudaConvolution>("depthwise", context, taps_first(conv.weight, padded),
                                           padded_bias(conv.bias, channels, padded), shape_of(conv),
                                           conv2d_depthwise);
}

std::unique_ptr<Kernel> make_conv2d_direct(const Conv2d& conv, const std::shared_ptr<Context>& context) {
  return std::make_unique<DirectConv2d>(conv, context);
}

std::unique_ptr<Kernel> make_conv_transpose2d(const ConvTranspose2d& conv,
                                              const std::shared_ptr<Context>& context) {
  // As the layer keeps them, taps outermost: [kh, kw, in, out / groups].
  const Filter& w = conv.weight;
  std::vector<float> packed;
  packed.reserve(static_cast<std::size_t>(w.elements()));
  for (std::int64_t y = 0; y < w.kernel_h; ++y)
    for (std::int64_t x = 0; x < w.kernel_w; ++x)
      for (std::int64_t i = 0; i < w.d0; ++i)
        for (std::int64_t o = 0; o < w.d1; ++o) packed.push_back(w.at(i, o, y, x));
  const ConvolutionWeights shape{.kernel_h = narrow(w.kernel_h),
                                 .kernel_w = narrow(w.kernel_w),
                                 .stride = narrow(conv.stride),
                                 .padding = narrow(conv.padding),
                                 .dilation = narrow(conv.dilation),
                                 .groups = narrow(conv.groups)};
  const std::int64_t channels = conv.out_channels();
  return std::make_unique<CudaConvolution>(
      "direct", context, packed, padded_bias(conv.bias, channels, channels), shape,
      [](cudaStream_t stream, const ConvolutionWeights& weights, Map in, const Map*, Map out) {
        conv_transpose2d(stream, weights, in, out);
      });
}

}  // namespace atrous::cuda
