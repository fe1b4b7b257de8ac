#include "layers/cpu/conv/conv2d_few_channels.h"

#include <algorithm>

#include "layers/base/checked.h"
#include "layers/cpu/conv/packed_columns.h"
#include "layers/cpu/parallel.h"
#include "layers/cpu/tiles/row_tile.h"

namespace atrous {

namespace {

constexpr std::int64_t most_channels = 4;                    // of the input, with any number of outputs
constexpr std::int64_t most_inputs = 64, most_outputs = 32;  // of both, where few outputs are what counts

class FewChannelsConv2d final : public Kernel {
 public:
  FewChannelsConv2d(const Conv2d& layer, Isa isa, std::string_view name)
      : layer_(layer), name_(name), tiles_(row_tiles(isa)), columns_(layer, tiles_) {
    layer_.weight.data.reset();
    layer_.bias.reset();
  }

  std::string_view name() const override { return name_; }
  std::size_t packed_bytes() const override { return columns_.bytes(); }

  std::size_t workspace_bytes(std::span<const Shape>, const Shape& out, int threads) const override {
    return static_cast<std::size_t>(checked_product(
        {threads, copy_floats(out), static_cast<std::int64_t>(sizeof(float))}, "conv2d: workspace"));
  }

  // The tile is bound by its loads, as a matrix product of few columns is: no factor, measured with AVX-512.
  double cost(std::span<const Shape>, const Shape& out) const override {
    return static_cast<double>(out.n * out.h * out.w) *
           static_cast<double>(layer_.weight.kernel_h * row_floats()) *
           static_cast<double>(columns_.columns());
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
  std::int64_t row_floats() const { return layer_.weight.kernel_w * channels(); }  // of a kernel's row
  // Input columns under `count` neighbouring output pixels.
  std::int64_t columns_under(std::int64_t count) const {
    return (count - 1) * layer_.stride + layer_.weight.kernel_w;
  }
  std::int64_t copy_floats(const Shape& out) const {
    return (layer_.weight.kernel_h * columns_under(out.w) * channels() + 15) / 16 * 16;
  }

  // Pixels whose kernel lies between the picture's left and right edge are computed where their inputs lie,
  // without the kernel's rows above and below the picture; the others from a copy with its padding.
  void run_row(const KernelCall& call, std::int64_t n, std::int64_t y, float* copy) const {
    const ConstView in = call.inputs[0];
    const Filter& w = layer_.weight;
    const std::int64_t width = call.output.shape.w, top = y * layer_.stride - layer_.padding,
                       first_ky = std::max<std::int64_t>(0, -top),
                       last_ky = std::min(w.kernel_h, in.shape.h - top),
                       spare = in.shape.w - w.kernel_w + layer_.padding;
    const std::int64_t first = (layer_.padding + layer_.stride - 1) / layer_.stride,
                       last = spare < 0 ? 0 : std::min(spare / layer_.stride + 1, width);
    if (!in.dense() || first_ky >= last_ky || first >= last) {
      run_copied(call, n, y, 0, width, copy);
      return;
    }
    run_copied(call, n, y, 0, first, copy);
    run_pixels(call, n, y, first, last - first,
               in.pixel(n, top + first_ky, first * layer_.stride - layer_.padding), in.shape.w * channels(),
               first_ky, last_ky);
    run_copied(call, n, y, last, width - last, copy);
  }

  void run_copied(const KernelCall& call, std::int64_t n, std::int64_t y, std::int64_t first,
                  std::int64_t count, float* copy) const {
    if (count == 0) return;
    const std::int64_t columns = columns_under(count);
    for (std::int64_t ky = 0; ky < layer_.weight.kernel_h; ++ky)
      copy_row(call.inputs[0], n, y * layer_.stride - layer_.padding + ky,
               first * layer_.stride - layer_.padding, columns, copy + ky * columns * channels());
    run_pixels(call, n, y, first, count, copy, columns * channels(), 0, layer_.weight.kernel_h);
  }

  // Output pixels [first, first + count) of row y, from the kernel's rows [first_ky, last_ky); `a` is the
  // input of the first pixel at the first of them, and a row lies `to_next_row` floats behind the one before.
  void run_pixels(const KernelCall& call, std::int64_t n, std::int64_t y, std::int64_t first,
                  std::int64_t count, const float* a, std::int64_t to_next_row, std::int64_t first_ky,
                  std::int64_t last_ky) const {
    const View out = call.output;
    const bool has_residual = call.inputs.size() > 1;
    for (const PackedColumns::Group& group : columns_.groups())
      tiles_.run({.a = a,
                  .a_pitch = layer_.stride * channels(),
                  .segments = last_ky - first_ky,
                  .to_next_segment = to_next_row,
                  .depth = row_floats(),
                  .b = columns_.weights() + columns_.offset(group) +
                       first_ky * row_floats() * group.vectors * tiles_.lanes,
                  .bias = columns_.bias(group),
                  .c = out.pixel(n, y, first) + group.first,
                  .c_pitch = out.pitch,
                  .residual = has_residual ? residual_pixel(call.in(1), n, y, first) + group.first : nullptr,
                  .residual_pitch = has_residual ? residual_pitch(call.in(1), call.output.shape) : 0,
                  .columns = group.columns,
                  .activation = layer_.activation},
                 group.vectors, count);
  }

  // Columns [left, left + columns) of row y of the picture, zeros where there are none.
  void copy_row(ConstView in, std::int64_t n, std::int64_t y, std::int64_t left, std::int64_t columns,
                float* to) const {
    const std::int64_t c = channels();
    const bool inside = y >= 0 && y < in.shape.h;
    const std::int64_t first = inside ? std::clamp<std::int64_t>(-left, 0, columns) : columns,
                       last = inside ? std::clamp<std::int64_t>(in.shape.w - left, first, columns) : columns;
    std::fill(to, to + first * c, 0.f);
    if (in.dense() && first < last)
      std::copy_n(in.pixel(n, y, left + first), (last - first) * c, to + first * c);
    else
      for (std::int64_t x = first; x < last; ++x) std::copy_n(in.pixel(n, y, left + x), c, to + x * c);
    std::fill(to + last * c, to + columns * c, 0.f);
  }

  Conv2d layer_;  // without its weights, which are packed
  std::string_view name_;
  RowTiles tiles_;
  PackedColumns columns_;
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
