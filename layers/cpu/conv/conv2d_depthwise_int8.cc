#include "layers/cpu/conv/conv2d_depthwise_int8.h"

#include <algorithm>
#include <vector>

#include "layers/base/checked.h"
#include "layers/cpu/parallel.h"
#include "layers/cpu/tiles/int8_tile.h"

namespace atrous {

namespace {

constexpr std::int64_t pixels_at_once = 8;

// Sums the taps of a few pixels, then finishes them together. Taps in the padding read the zero point, which
// a correction takes off all sums alike.
class DepthwiseInt8 final : public Kernel {
 public:
  DepthwiseInt8(const Conv2d& layer, const MapType& in, const MapType& out, Isa isa)
      : layer_(layer),
        tile_(int8_tile(isa)),
        requantisation_(requantisation(layer, in, nullptr, out)),
        taps_(layer.weight.kernel_h * layer.weight.kernel_w),
        padded_taps_(round_up(taps_, 4)) {
    const std::int64_t channels = layer.out_channels();
    const auto padded = static_cast<std::size_t>(channels + int8_padding);
    requantisation_.factor.resize(padded);
    requantisation_.offset.resize(padded);
    correction_.resize(padded);
    padding_.resize(padded, static_cast<std::uint8_t>(in.quantisation.zero_point));
    weights_ = Buffer(tap_weights(tile_, channels, padded_taps_));
    auto* weights = reinterpret_cast<std::int8_t*>(weights_.data());
    std::fill_n(weights, weights_.size(), std::int8_t{0});
    for (std::int64_t c = 0; c < channels; ++c)
      for (std::int64_t tap = 0; tap < taps_; ++tap) {
        const std::int8_t weight = layer.weight.quantised.get()[c * taps_ + tap];
        weights[place_of_tap(tile_, channels, padded_taps_, c, tap)] = weight;
        correction_[static_cast<std::size_t>(c)] -= in.quantisation.zero_point * weight;
      }
    layer_.weight.quantised.reset();
  }

  std::string_view name() const override { return "depthwise"; }
  std::size_t packed_bytes() const override {
    return weights_.size() + 3 * correction_.size() * sizeof(float);
  }
  std::size_t workspace_bytes(std::span<const Shape>, const Shape&, int threads) const override {
    return static_cast<std::size_t>(threads) * thread_bytes();
  }
  void run(const KernelCall& call) const override {
    const Shape& out = call.output.shape;
    parallel_tasks(call.threads, out.n * out.h, [&](std::int64_t row, int thread) {
      run_row(call, row / out.h, row % out.h,
              call.workspace.data() + static_cast<std::size_t>(thread) * thread_bytes());
    });
  }

 private:
  // The sums of some pixels, and a pixel's taps.
  std::size_t thread_bytes() const {
    const std::size_t bytes = correction_.size() * pixels_at_once * sizeof(std::int32_t) +
                              static_cast<std::size_t>(padded_taps_) * sizeof(void*);
    return (bytes + 63) / 64 * 64;
  }
  void run_row(const KernelCall&, std::int64_t n, std::int64_t y, std::byte* scratch) const;
  void find_taps(const BasicView<const std::uint8_t>& in, std::int64_t n, std::int64_t y, std::int64_t x,
                 const std::uint8_t** taps) const;

  Conv2d layer_;
  Int8Tile tile_;
  Requantisation requantisation_;
  std::int64_t taps_, padded_taps_;
  Buffer weights_;  // place_of_tap()
  std::vector<std::int32_t> correction_;
  std::vector<std::uint8_t> padding_;  // a pixel of the zero point
};

// Of output pixel (y, x); behind them the padding, which has no weights there.
void DepthwiseInt8::find_taps(const BasicView<const std::uint8_t>& in, std::int64_t n, std::int64_t y,
                              std::int64_t x, const std::uint8_t** taps) const {
  const Filter& w = layer_.weight;
  const std::uint8_t** to = taps;
  for (std::int64_t ky = 0; ky < w.kernel_h; ++ky) {
    const std::int64_t in_y = y * layer_.stride - layer_.padding + ky * layer_.dilation;
    const bool row_inside = in_y >= 0 && in_y < in.shape.h;
    for (std::int64_t kx = 0; kx < w.kernel_w; ++kx) {
      const std::int64_t in_x = x * layer_.stride - layer_.padding + kx * layer_.dilation;
      *to++ = row_inside && in_x >= 0 && in_x < in.shape.w ? in.pixel(n, in_y, in_x) : padding_.data();
    }
  }
  std::fill(to, taps + padded_taps_, padding_.data());
}

void DepthwiseInt8::run_row(const KernelCall& call, std::int64_t n, std::int64_t y,
                            std::byte* scratch) const {
  const auto in = call.inputs[0].as<std::uint8_t>();
  const auto pitch = static_cast<std::int64_t>(correction_.size());
  auto* sums = reinterpret_cast<std::int32_t*>(scratch);
  auto** taps = reinterpret_cast<const std::uint8_t**>(sums + pitch * pixels_at_once);
  const Requantisation& r = requantisation_;
  for (std::int64_t first = 0; first < call.output.shape.w; first += pixels_at_once) {
    const std::int64_t pixels = std::min(pixels_at_once, call.output.shape.w - first);
    std::byte* out[pixels_at_once];
    for (std::int64_t i = 0; i < pixels; ++i) {
      find_taps(in, n, y, first + i, taps);
      tile_.taps({.taps = taps,
                  .weights = reinterpret_cast<const std::int8_t*>(weights_.data()),
                  .count = padded_taps_,
                  .channels = layer_.out_channels(),
                  .sums = sums + i * pitch});
      out[i] = call.output.at(n, y, first + i, 0);
    }
    tile_.finish({.sums = sums,
                  .pitch = pitch,
                  .correction = correction_.data(),
                  .rows = pixels,
                  .factor = r.factor.data(),
                  .offset = r.offset.data(),
                  .residual = nullptr,
                  .residual_dtype = DType::f32,
                  .residual_factor = 1,
                  .out = out,
                  .out_dtype = call.output.dtype,
                  .in_steps = r.in_steps,
                  .lowest = r.lowest,
                  .highest = r.highest,
                  .inverse = r.inverse,
                  .zero_point = r.zero_point,
                  .column = 0,
                  .columns = layer_.out_channels(),
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
