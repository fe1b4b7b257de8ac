#include "layers/cpu/conv/conv2d_few_channels.h"

#include <algorithm>

#include "layers/base/checked.h"
#include "layers/cpu/conv/packed_columns.h"
#include "layers/cpu/parallel.h"
#include "layers/cpu/tiles/row_tile.h"

namespace atrous {

namespace {

constexpr std::int64_t most_channels = 4;

class FewChannelsConv2d final : public Kernel {
 public:
  FewChannelsConv2d(const Conv2d& layer, Isa isa)
      : layer_(layer), tiles_(row_tiles(isa)), columns_(layer, tiles_) {
    layer_.weight.data.reset();
    layer_.bias.reset();
  }

  std::string_view name() const override { return "few_channels"; }
  std::size_t packed_bytes() const override { return columns_.bytes(); }

  std::size_t workspace_bytes(std::span<const Shape>, const Shape& out, int threads) const override {
    return static_cast<std::size_t>(checked_product(
        {threads, copy_floats(out), static_cast<std::int64_t>(sizeof(float))}, "conv2d: workspace"));
  }

  void run(const KernelCall& call) const override {
    const Shape& out = call.output.shape;
    parallel_for(call.threads, out.n * out.h, [&](std::int64_t row, int thread) {
      float* copy = reinterpret_cast<float*>(call.workspace.data()) + thread * copy_floats(out);
      run_row(call, row / out.h, row % out.h, copy);
    });
  }

 private:
  std::int64_t channels() const { return layer_.weight.d1; }
  // Of one padded row, as far as the kernel reaches: input column i lies at column i + padding.
  std::int64_t row_pixels(const Shape& out) const {
    return (out.w - 1) * layer_.stride + layer_.weight.kernel_w;
  }
  std::int64_t copy_floats(const Shape& out) const {
    return (layer_.weight.kernel_h * row_pixels(out) * channels() + 15) / 16 * 16;
  }

  void run_row(const KernelCall& call, std::int64_t n, std::int64_t y, float* copy) const {
    const View out = call.output;
    const std::int64_t pixels = row_pixels(out.shape);
    for (std::int64_t ky = 0; ky < layer_.weight.kernel_h; ++ky)
      copy_row(call.inputs[0], n, y * layer_.stride - layer_.padding + ky, pixels,
               copy + ky * pixels * channels());
    const bool has_residual = call.inputs.size() > 1;
    for (const PackedColumns::Group& group : columns_.groups())
      tiles_.run({.a = copy,
                  .a_pitch = layer_.stride * channels(),
                  .segments = layer_.weight.kernel_h,
                  .to_next_segment = pixels * channels(),
                  .depth = layer_.weight.kernel_w * channels(),
                  .b = columns_.weights() + columns_.offset(group),
                  .bias = columns_.bias(group),
                  .c = out.pixel(n, y, 0) + group.first,
                  .c_pitch = out.pitch,
                  .residual = has_residual ? residual_pixel(call.inputs[1], n, y, 0) + group.first : nullptr,
                  .residual_pitch = has_residual ? residual_pitch(call.inputs[1], call.output.shape) : 0,
                  .columns = group.columns,
                  .activation = layer_.activation},
                 group.vectors, out.shape.w);
  }

  // Row y of the picture, or zeros where there is none, between zeros for the padding.
  void copy_row(ConstView in, std::int64_t n, std::int64_t y, std::int64_t pixels, float* to) const {
    const std::int64_t c = channels();
    const bool inside = y >= 0 && y < in.shape.h;
    const std::int64_t first = inside ? std::min(layer_.padding, pixels) : pixels,
                       last = inside ? std::min(layer_.padding + in.shape.w, pixels) : pixels;
    std::fill(to, to + first * c, 0.f);
    if (in.dense() && first < last)
      std::copy_n(in.pixel(n, y, 0), (last - first) * c, to + first * c);
    else
      for (std::int64_t x = first; x < last; ++x) std::copy_n(in.pixel(n, y, x - first), c, to + x * c);
    std::fill(to + last * c, to + pixels * c, 0.f);
  }

  Conv2d layer_;  // without its weights, which are packed
  RowTiles tiles_;
  PackedColumns columns_;
};

}  // namespace

std::unique_ptr<Kernel> make_conv2d_few_channels(const Conv2d& layer, Isa isa) {
  const Filter& w = layer.weight;
  const bool accepted =
      layer.groups == 1 && layer.dilation == 1 && w.d1 <= most_channels && w.kernel_h * w.kernel_w > 1;
  return accepted ? std::make_unique<FewChannelsConv2d>(layer, isa) : nullptr;
}

}  // namespace atrous
