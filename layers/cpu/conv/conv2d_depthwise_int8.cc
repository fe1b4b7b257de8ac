#include "layers/cpu/conv/conv2d_depthwise_int8.h"

#include <utility>
#include <vector>

#include "layers/base/checked.h"
#include "layers/cpu/parallel.h"
#include "layers/cpu/tiles/int8_tile.h"

namespace atrous {

namespace {

class DepthwiseInt8 final : public Kernel {
 public:
  DepthwiseInt8(const Conv2d& layer, const MapType& in, const MapType& out, Isa isa)
      : layer_(layer),
        tile_(int8_tile(isa)),
        requantisation_(requantisation(layer, in, nullptr, out)),
        taps_(layer.weight.kernel_h * layer.weight.kernel_w) {
    const std::int64_t channels = layer.out_channels();
    const std::int8_t* weights = layer.weight.quantised.get();
    for (std::int64_t tap = 0; tap < taps_; ++tap)
      for (std::int64_t c = 0; c < channels; ++c) weights_.push_back(weights[c * taps_ + tap]);
    const auto padded = static_cast<std::size_t>(channels + int8_padding);
    requantisation_.factor.resize(padded);
    requantisation_.offset.resize(padded);
    zeros_.resize(padded);
    layer_.weight.quantised.reset();
  }

  std::string_view name() const override { return "depthwise"; }
  std::size_t packed_bytes() const override {
    return weights_.size() + 2 * requantisation_.factor.size() * sizeof(float);
  }
  std::size_t workspace_bytes(std::span<const Shape>, const Shape&, int threads) const override {
    return static_cast<std::size_t>(threads) * thread_bytes();
  }
  void run(const KernelCall&) const override;

 private:
  // The sums of a pixel, and its taps' addresses and weights.
  std::size_t thread_bytes() const {
    const std::size_t bytes =
        zeros_.size() * sizeof(std::int32_t) + 2 * static_cast<std::size_t>(taps_) * sizeof(void*);
    return (bytes + 63) / 64 * 64;
  }
  void run_row(const KernelCall&, std::int64_t n, std::int64_t y, std::byte* scratch) const;

  Conv2d layer_;
  Int8Tile tile_;
  Requantisation requantisation_;
  std::int64_t taps_;
  std::vector<std::int8_t> weights_;  // [tap][channel]
  std::vector<std::int32_t> zeros_;
};

void DepthwiseInt8::run(const KernelCall& call) const {
  const Shape& out = call.output.shape;
  parallel_tasks(call.threads, out.n * out.h, [&](std::int64_t row, int thread) {
    run_row(call, row / out.h, row % out.h,
            call.workspace.data() + static_cast<std::size_t>(thread) * thread_bytes());
  });
}

void DepthwiseInt8::run_row(const KernelCall& call, std::int64_t n, std::int64_t y,
                            std::byte* scratch) const {
  const auto in = call.inputs[0].as<std::uint8_t>();
  const Filter& w = layer_.weight;
  const std::int64_t channels = layer_.out_channels();
  auto* sums = reinterpret_cast<std::int32_t*>(scratch);
  auto** taps = reinterpret_cast<const std::uint8_t**>(sums + zeros_.size());
  auto** weights = reinterpret_cast<const std::int8_t**>(taps + taps_);
  const Requantisation& r = requantisation_;
  for (std::int64_t x = 0; x < call.output.shape.w; ++x) {
    std::int64_t count = 0;
    for (std::int64_t tap = 0; tap < taps_; ++tap) {
      const std::int64_t in_y = y * layer_.stride - layer_.padding + tap / w.kernel_w * layer_.dilation,
                         in_x = x * layer_.stride - layer_.padding + tap % w.kernel_w * layer_.dilation;
      if (in_y < 0 || in_y >= in.shape.h || in_x < 0 || in_x >= in.shape.w) continue;
      taps[count] = in.pixel(n, in_y, in_x);
      weights[count++] = weights_.data() + tap * channels;
    }
    tile_.taps({.taps = taps,
                .weights = weights,
                .count = count,
                .channels = channels,
                .zero_point = call.inputs[0].quantisation.zero_point,
                .sums = sums});
    std::byte* out = call.output.at(n, y, x, 0);
    tile_.finish({.sums = sums,
                  .correction = zeros_.data(),
                  .rows = 1,
                  .factor = r.factor.data(),
                  .offset = r.offset.data(),
                  .residual = nullptr,
                  .residual_dtype = DType::f32,
                  .residual_factor = 1,
                  .out = &out,
                  .out_dtype = call.output.dtype,
                  .in_steps = r.in_steps,
                  .lowest = r.lowest,
                  .highest = r.highest,
                  .inverse = r.inverse,
                  .zero_point = r.zero_point,
                  .column = 0,
                  .columns = channels,
                  .activation = layer_.activation});
  }
}

}  // namespace

std::unique_ptr<Kernel> make_conv2d_depthwise_int8(const Conv2d& layer, std::span<const MapType> inputs,
                                                   const MapType& out, Isa isa) {
  if (!layer.is_depthwise() || inputs.size() > 1 || !layer.weight.quantised) return nullptr;
  return std::make_unique<DepthwiseInt8>(layer, inputs[0], out, isa);
}

}  // namespace atrous
