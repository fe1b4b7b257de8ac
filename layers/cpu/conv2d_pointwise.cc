#include "layers/cpu/conv2d_pointwise.h"

#include <algorithm>

#include "layers/cpu/packed_columns.h"
#include "layers/cpu/row_tile.h"

namespace atrous {

namespace {

// Pixels of 1024 channels lie 4 KB apart: a tile's would fall into the same few sets of the first cache.
constexpr std::int64_t most_channels = 1023;
constexpr std::int64_t block_floats =
    32768;                                  // of the pixels that a task reads: they stay in the second cache
constexpr std::int64_t block_pixels = 192;  // at most
constexpr std::int64_t enough_tasks = 8;

std::int64_t divide_up(std::int64_t a, std::int64_t b) { return (a + b - 1) / b; }

class PointwiseConv2d final : public Kernel {
 public:
  PointwiseConv2d(const Conv2d& layer, Isa isa)
      : tiles_(row_tiles(isa)), activation_(layer.activation), columns_(layer, tiles_) {}

  std::string_view name() const override { return "pointwise"; }
  std::size_t packed_bytes() const override { return columns_.bytes(); }

  void run(const KernelCall& call) const override {
    const ConstView in = call.inputs[0];
    const ConstView* residual = call.inputs.size() > 1 ? &call.inputs[1] : nullptr;
    const std::int64_t pixels = in.shape.pixels();
    // Multiples of 24, which every tile divides.
    const std::int64_t most = std::clamp(block_floats / in.shape.c / 24 * 24, std::int64_t{24}, block_pixels);
    const std::int64_t block = std::min(most, divide_up(divide_up(pixels, enough_tasks), 24) * 24);
    const std::int64_t blocks = divide_up(pixels, block);
#pragma omp parallel for num_threads(call.threads) schedule(dynamic)
    for (std::int64_t b = 0; b < blocks; ++b) {
      const std::int64_t first = b * block, count = std::min(block, pixels - first);
      for (const PackedColumns::Group& group : columns_.groups())
        tiles_.run({.a = in.data + first * in.pitch,
                    .a_pitch = in.pitch,
                    .depth = in.shape.c,
                    .b = columns_.weights(group),
                    .bias = columns_.bias(group),
                    .c = call.output.data + first * call.output.pitch + group.first,
                    .c_pitch = call.output.pitch,
                    .residual = residual ? residual->data + first * residual->pitch + group.first : nullptr,
                    .residual_pitch = residual ? residual->pitch : 0,
                    .columns = group.columns,
                    .activation = activation_},
                   group.vectors, count);
    }
  }

 private:
  RowTiles tiles_;
  ActivationKind activation_;
  PackedColumns columns_;
};

}  // namespace

std::unique_ptr<Kernel> make_conv2d_pointwise(const Conv2d& layer, Isa isa) {
  const Filter& w = layer.weight;
  const bool accepted = w.kernel_h == 1 && w.kernel_w == 1 && layer.stride == 1 && layer.padding == 0 &&
                        layer.groups == 1 && w.d1 <= most_channels;
  return accepted ? std::make_unique<PointwiseConv2d>(layer, isa) : nullptr;
}

}  // namespace atrous
