#include "layers/cpu/conv/conv2d_tap_sums.h"

#include <algorithm>

#include "layers/base/checked.h"
#include "layers/cpu/parallel.h"
#include "layers/cpu/tiles/row_tile.h"
#include "layers/cpu/tiles/tap_row.h"

namespace atrous {

namespace {

constexpr std::int64_t task_rows = 32;  // of the output: kernel_h - 1 rows of products more are made for each

class TapSums final : public Kernel {
 public:
  TapSums(const Conv2d& layer, Isa isa)
      : kernel_h_(layer.weight.kernel_h),
        kernel_w_(layer.weight.kernel_w),
        outputs_(layer.out_channels()),
        channels_(layer.in_channels()),
        padding_(layer.padding),
        relu_(layer.activation == ActivationKind::relu),
        isa_(isa),
        tiles_(row_tiles(isa)),
        vectors_(static_cast<int>(divide_up(kernel_h_ * kernel_w_ * outputs_, std::int64_t{tiles_.lanes}))),
        weights_(Tensor::zeros({1, 1, channels_, width()})),
        zeros_(Tensor::zeros({1, 1, 1, width()})) {
    for (std::int64_t o = 0; o < outputs_; ++o) {
      bias_[o] = layer.bias ? layer.bias.get()[o] : 0.f;
      for (std::int64_t i = 0; i < channels_; ++i)
        for (std::int64_t ky = 0; ky < kernel_h_; ++ky)
          for (std::int64_t kx = 0; kx < kernel_w_; ++kx)
            weights_.data()[i * width() + (ky * kernel_w_ + kx) * outputs_ + o] =
                layer.weight.at(o, i, ky, kx);
    }
  }

  std::string_view name() const override { return "tap_sums"; }
  std::size_t packed_bytes() const override {
    return weights_.values().size_bytes() + zeros_.values().size_bytes();
  }

  std::size_t workspace_bytes(std::span<const Shape> in, const Shape&, int threads) const override {
    return static_cast<std::size_t>(
        checked_product({threads, kernel_h_, row_floats(in[0].w), static_cast<std::int64_t>(sizeof(float))},
                        "conv2d: workspace"));
  }

  // Each pixel's sum over the taps takes about as long as two products of a vector for each of them.
  double cost(std::span<const Shape>, const Shape& out) const override {
    return static_cast<double>(out.n * out.h * out.w) *
           static_cast<double>(channels_ * width() + 2 * kernel_h_ * kernel_w_ * tiles_.lanes);
  }

  void run(const KernelCall& call) const override {
    const Shape& out = call.output.shape;
    const std::int64_t tasks = divide_up(out.h, task_rows), row = row_floats(call.inputs[0].shape.w);
    parallel_for(call.threads, out.n * tasks, [&](std::int64_t task, int thread) {
      const std::int64_t first = task % tasks * task_rows;
      run_rows(call, task / tasks, first, std::min(first + task_rows, out.h),
               reinterpret_cast<float*>(call.workspace.data()) + thread * kernel_h_ * row);
    });
  }

 private:
  // Floats of a pixel's products.
  std::int64_t width() const { return std::int64_t{vectors_} * tiles_.lanes; }
  // With the padding on both sides, and what a read of four floats touches behind the last.
  std::int64_t row_floats(std::int64_t pixels) const {
    return (pixels + 2 * padding_) * width() + round_up(most_tap_outputs, 16);
  }

  // Output rows [first, last) of image n. `products` holds the rows of products, that of input row y at y
  // modulo kernel_h.
  void run_rows(const KernelCall& call, std::int64_t n, std::int64_t first, std::int64_t last,
                float* products) const {
    const ConstView in = call.in(0);
    const std::int64_t pixels = in.shape.w, row = row_floats(pixels), before = padding_ * width();
    for (std::int64_t ky = 0; ky < kernel_h_; ++ky) {
      std::fill_n(products + ky * row, before, 0.f);
      std::fill(products + ky * row + before + pixels * width(), products + (ky + 1) * row, 0.f);
    }
    std::int64_t made =
        std::max<std::int64_t>(0, first - padding_);  // input rows before it, if they are needed
    for (std::int64_t y = first; y < last; ++y) {
      const std::int64_t top = y - padding_, first_ky = std::max<std::int64_t>(0, -top),
                         last_ky = std::min(kernel_h_, in.shape.h - top);
      for (; made < top + last_ky; ++made)
        tiles_.run({.a = in.pixel(n, made, 0),
                    .a_pitch = in.pitch,
                    .depth = channels_,
                    .b = weights_.data(),
                    .bias = zeros_.data(),
                    .c = products + made % kernel_h_ * row + before,
                    .c_pitch = width(),
                    .columns = width(),
                    .activation = ActivationKind::none},
                   vectors_, pixels);
      const float* rows[max_kernel];
      for (std::int64_t ky = first_ky; ky < last_ky; ++ky)
        rows[ky] = products + (top + ky) % kernel_h_ * row + ky * kernel_w_ * outputs_;
      sum_row(call, n, y, rows, first_ky, last_ky);
    }
  }

  void sum_row(const KernelCall& call, std::int64_t n, std::int64_t y, const float* const* rows,
               std::int64_t first_ky, std::int64_t last_ky) const {
    const View out = call.output;
    const bool has_residual = call.inputs.size() > 1;
    sum_tap_row(isa_, {.rows = rows + first_ky,
                       .row_count = last_ky - first_ky,
                       .taps = kernel_w_,
                       .pitch = width(),
                       .bias = bias_,
                       .c = out.pixel(n, y, 0),
                       .c_pitch = out.pitch,
                       .outputs = outputs_,
                       .pixels = out.shape.w,
                       .residual = has_residual ? residual_pixel(call.in(1), n, y, 0) : nullptr,
                       .residual_pitch = has_residual ? residual_pitch(call.in(1), out.shape) : 0,
                       .relu = relu_});
  }

  // Rows of a kernel: one output of each fills three of the widest vectors.
  static constexpr std::int64_t max_kernel = 48;

  std::int64_t kernel_h_, kernel_w_, outputs_, channels_, padding_;
  bool relu_;
  Isa isa_;
  RowTiles tiles_;
  int vectors_;
  Tensor weights_, zeros_;  // [channel][tap][output], and a tile's bias
  float bias_[most_tap_outputs] = {};
};

}  // namespace

std::unique_ptr<Kernel> make_conv2d_tap_sums(const Conv2d& layer, Isa isa) {
  const std::int64_t taps = layer.weight.kernel_h * layer.weight.kernel_w;
  const bool accepted =
      layer.groups == 1 && layer.dilation == 1 && layer.stride == 1 && taps > 1 &&
      layer.out_channels() <= most_tap_outputs &&
      taps * layer.out_channels() <= std::int64_t{RowTiles::most_vectors} * row_tiles(isa).lanes &&
      (layer.activation == ActivationKind::none || layer.activation == ActivationKind::relu);
  return accepted ? std::make_unique<TapSums>(layer, isa) : nullptr;
}

}  // namespace atrous
