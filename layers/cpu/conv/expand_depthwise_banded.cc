#include "layers/cpu/conv/expand_depthwise_banded.h"

#include <algorithm>
#include <vector>

#include "layers/base/checked.h"
#include "layers/cpu/conv/packed_columns.h"
#include "layers/cpu/parallel.h"
#include "layers/cpu/tiles/depthwise_row.h"
#include "layers/cpu/tiles/row_tile.h"

namespace atrous {

namespace {

constexpr std::int64_t chunk_channels = 32;        // at least, where there are as many
constexpr std::int64_t buffer_bytes = 384 * 1024;  // aimed at: half of a L2 cache of today

class BandedExpandDepthwise final : public Kernel {
 public:
  BandedExpandDepthwise(const ExpandDepthwise& layer, Isa isa)
      : depthwise_(layer.depthwise),
        expand_activation_(layer.expand.activation),
        border_(layer.expand.padding),
        tiles_(row_tiles(isa)),
        columns_(layer.expand, tiles_),
        packed_(layer.depthwise),
        row_(depthwise_row(isa)) {
    depthwise_.weight.data.reset();
    depthwise_.bias.reset();
    const auto groups = columns_.groups();
    for (std::size_t g = 0; g < groups.size(); ++g) {
      if (chunks_.empty() || chunks_.back().channels >= chunk_channels)
        chunks_.push_back({groups[g].first, 0, g, g});
      chunks_.back().channels += groups[g].columns;
      chunks_.back().last_group = g + 1;
    }
    for (const Chunk& c : chunks_) widest_ = std::max(widest_, c.channels);
    for (std::int64_t c = 0; c < layer.expand.out_channels(); ++c)
      of_zeros_.push_back(activate(expand_activation_, layer.expand.bias ? layer.expand.bias.get()[c] : 0.f));
  }

  std::string_view name() const override { return "banded"; }
  std::size_t packed_bytes() const override { return columns_.bytes() + packed_.bytes(); }

  std::size_t workspace_bytes(std::span<const Shape> in, const Shape& out, int threads) const override {
    return static_cast<std::size_t>(
        checked_product({threads, buffer_floats(wide(in[0]), band_rows(wide(in[0]), out)),
                         static_cast<std::int64_t>(sizeof(float))},
                        "expand_depthwise: workspace"));
  }

  void run(const KernelCall& call) const override {
    const Shape in = wide(call.inputs[0].shape), &out = call.output.shape;
    const std::int64_t rows = band_rows(in, out), bands = divide_up(out.h, rows),
                       floats = buffer_floats(in, rows);
    const auto chunks = static_cast<std::int64_t>(chunks_.size());
    parallel_tasks(call.threads, out.n * bands * chunks, [&](std::int64_t task, int thread) {
      const std::int64_t band = task / chunks % bands;
      run_task(call, task / chunks / bands, band * rows, std::min((band + 1) * rows, out.h),
               chunks_[static_cast<std::size_t>(task % chunks)],
               reinterpret_cast<float*>(call.workspace.data()) + thread * floats);
    });
  }

 private:
  // Channels [first, first + channels), the expansion's column groups [first_group, last_group).
  struct Chunk {
    std::int64_t first, channels;
    std::size_t first_group, last_group;
  };

  // The map between the two convolutions.
  Shape wide(const Shape& in) const { return {in.n, in.h + 2 * border_, in.w + 2 * border_, in.c}; }

  // Rows of the wide map under `rows` output rows.
  std::int64_t rows_under(std::int64_t rows) const {
    return (rows - 1) * depthwise_.stride + depthwise_.dilation * (depthwise_.weight.kernel_h - 1) + 1;
  }

  // Output rows of a band: as many as the buffer has room for, and about the same in every band.
  std::int64_t band_rows(const Shape& in, const Shape& out) const {
    const std::int64_t fit = buffer_bytes / (in.w * widest_ * static_cast<std::int64_t>(sizeof(float)));
    const std::int64_t most = std::max<std::int64_t>(1, (fit - rows_under(1)) / depthwise_.stride + 1);
    return divide_up(out.h, divide_up(out.h, most));
  }

  std::int64_t buffer_floats(const Shape& in, std::int64_t rows) const {
    return divide_up(std::min(rows_under(rows), in.h) * in.w * widest_, 16) * 16;
  }

  void run_task(const KernelCall& call, std::int64_t n, std::int64_t first_y, std::int64_t last_y,
                const Chunk& chunk, float* buffer) const {
    const View out = call.output;
    const Shape shape = wide(call.inputs[0].shape);
    const std::int64_t top = first_y * depthwise_.stride - depthwise_.padding;
    const std::int64_t first_row = std::clamp<std::int64_t>(top, 0, shape.h),
                       last_row = std::clamp<std::int64_t>(top + rows_under(last_y - first_y), 0, shape.h);
    expand(call.inputs[0], n, first_row, last_row, chunk, buffer);
    for (std::int64_t y = first_y; y < last_y; ++y)
      row_({.layer = depthwise_,
            .weights = packed_.weights.data() + chunk.first,
            .weight_pitch = out.shape.c,
            .bias = packed_.bias.data() + chunk.first,
            .channels = chunk.channels,
            .in = buffer,
            .in_pitch = chunk.channels,
            .first_row = first_row,
            .in_height = shape.h,
            .in_width = shape.w,
            .out = out.pixel(n, y, 0) + chunk.first,
            .out_pitch = out.pitch,
            .out_width = out.shape.w,
            .y = y});
  }

  // Rows [first_row, last_row) of the wide map.
  void expand(ConstView in, std::int64_t n, std::int64_t first_row, std::int64_t last_row, const Chunk& chunk,
              float* buffer) const {
    const auto pixels = [&](std::int64_t y, std::int64_t rows, float* to) {
      for (std::size_t g = chunk.first_group; g < chunk.last_group; ++g) {
        const PackedColumns::Group& group = columns_.groups()[g];
        tiles_.run({.a = in.pixel(n, y, 0),
                    .a_pitch = in.pitch,
                    .depth = in.shape.c,
                    .b = columns_.weights() + columns_.offset(group),
                    .bias = columns_.bias(group),
                    .c = to + group.first - chunk.first,
                    .c_pitch = chunk.channels,
                    .columns = group.columns,
                    .activation = expand_activation_},
                   group.vectors, rows * in.shape.w);
      }
    };
    if (border_ == 0) return pixels(first_row, last_row - first_row, buffer);
    const auto border = [&](float* to, std::int64_t count) {
      for (std::int64_t p = 0; p < count; ++p)
        std::copy_n(of_zeros_.data() + chunk.first, chunk.channels, to + p * chunk.channels);
    };
    const std::int64_t width = in.shape.w + 2 * border_;
    for (std::int64_t y = first_row; y < last_row; ++y, buffer += width * chunk.channels) {
      const bool inside = y >= border_ && y < in.shape.h + border_;
      border(buffer, inside ? border_ : width);
      if (!inside) continue;
      pixels(y - border_, 1, buffer + border_ * chunk.channels);
      border(buffer + (border_ + in.shape.w) * chunk.channels, border_);
    }
  }

  Conv2d depthwise_;  // without its weights, which are packed
  ActivationKind expand_activation_;
  std::int64_t border_;          // the expansion's padding
  std::vector<float> of_zeros_;  // what it makes of them
  RowTiles tiles_;
  PackedColumns columns_;
  PackedDepthwise packed_;
  RunDepthwiseRow row_;
  std::vector<Chunk> chunks_;
  std::int64_t widest_ = 0;  // channels of a chunk
};

}  // namespace

std::unique_ptr<Kernel> make_expand_depthwise_banded(const ExpandDepthwise& layer, Isa isa) {
  return std::make_unique<BandedExpandDepthwise>(layer, isa);
}

}  // namespace atrous
